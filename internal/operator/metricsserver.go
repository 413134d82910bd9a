package operator

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"

	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// Each scrape is authenticated by a TokenReview and authorized by a SubjectAccessReview.
//
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// NoMetrics is the MetricsOptions.Address that turns metrics off.
const NoMetrics = "0"

// MetricsOptions configure the server of /metrics.
type MetricsOptions struct {
	// Address is where the server listens, such as ":8443", or NoMetrics.
	Address string
	// Secure serves over TLS, and only to callers with the permission to get the path.
	Secure bool
	// CertDir is the folder of the server's certificate, which is reloaded when it changes. If it
	// is empty, a self-signed one is generated at start. CertName and KeyName are the files in it.
	CertDir, CertName, KeyName string
	// Profiles also serves Go's profiles at /debug/pprof/.
	Profiles bool
}

// Check returns an error that names the flag that breaks a rule.
func (o MetricsOptions) Check() error {
	if o.Profiles {
		if err := o.checkProfiles(); err != nil {
			return err
		}
	}
	if o.CertDir == "" {
		return nil
	}
	if !o.Secure {
		return errors.New("--metrics-cert-path is set, but --metrics-secure=false serves without TLS: remove one of them")
	}
	for flag, name := range map[string]string{"--metrics-cert-name": o.CertName, "--metrics-cert-key": o.KeyName} {
		// The server would generate a self-signed certificate instead.
		if _, err := os.Stat(filepath.Join(o.CertDir, name)); err != nil {
			return fmt.Errorf("read the certificate of --metrics-cert-path and %s: %w", flag, err)
		}
	}
	return nil
}

// checkProfiles prevents access to profiles, which show the content of the memory, without
// the permission to get them.
func (o MetricsOptions) checkProfiles() error {
	switch {
	case o.Address == NoMetrics:
		return errors.New("--pprof serves profiles at --metrics-bind-address, which is 0: set an address")
	case !o.Secure && !isLoopback(o.Address):
		return fmt.Errorf("--pprof shows the content of the memory: with --metrics-secure=false, --metrics-bind-address must be a loopback address such as 127.0.0.1:8080, not %s", o.Address)
	}
	return nil
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// Server returns the options of the manager's server of metrics. All of its paths have the
// same protection.
func (o MetricsOptions) Server() metricsserver.Options {
	server := metricsserver.Options{
		BindAddress: o.Address, SecureServing: o.Secure, CertDir: o.CertDir, CertName: o.CertName, KeyName: o.KeyName,
		// HTTP/2 has no benefit here, and its streams can be used to overload a server
		// (CVE-2023-44487).
		TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }},
	}
	if o.Secure {
		server.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	if o.Profiles {
		server.ExtraHandlers = profileHandlers()
	}
	return server
}

func profileHandlers() map[string]http.Handler {
	return map[string]http.Handler{
		"/debug/pprof/":        http.HandlerFunc(pprof.Index),
		"/debug/pprof/cmdline": http.HandlerFunc(pprof.Cmdline),
		"/debug/pprof/profile": http.HandlerFunc(pprof.Profile),
		"/debug/pprof/symbol":  http.HandlerFunc(pprof.Symbol),
		"/debug/pprof/trace":   http.HandlerFunc(pprof.Trace),
	}
}
