package main

import (
	"flag"

	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
)

// bindMetrics adds the flags of the metrics server, with Kubebuilder's names.
func bindMetrics(flags *flag.FlagSet, o *operator.MetricsOptions) {
	flags.StringVar(&o.Address, "metrics-bind-address", ":8443", "Address that serves /metrics; 0: none.")
	flags.BoolVar(&o.Secure, "metrics-secure", true,
		"Serve metrics over TLS, to callers with the permission to get /metrics. With false, anyone who can reach the address gets them.")
	flags.StringVar(&o.CertDir, "metrics-cert-path", "", "Folder with the certificate for /metrics (default: a self-signed certificate, created at startup).")
	flags.StringVar(&o.CertName, "metrics-cert-name", "tls.crt", "File of the certificate in --metrics-cert-path.")
	flags.StringVar(&o.KeyName, "metrics-cert-key", "tls.key", "File of the key in --metrics-cert-path.")
	flags.BoolVar(&o.Profiles, "pprof", false, "Serve Go's profiles at /debug/pprof/ next to /metrics, to callers with the permission to get the path.")
}
