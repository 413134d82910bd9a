package operator

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
)

func TestMetricsOptionsThatBreakARule(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"tls.crt", "tls.key"} {
		NewWithT(t).Expect(os.WriteFile(filepath.Join(folder, name), nil, 0o600)).To(Succeed())
	}
	for name, c := range map[string]struct {
		options MetricsOptions
		err     string
	}{
		"the defaults":                      {MetricsOptions{Address: ":8443", Secure: true}, ""},
		"none":                              {MetricsOptions{Address: NoMetrics}, ""},
		"a certificate":                     {MetricsOptions{Address: ":8443", Secure: true, CertDir: folder, CertName: "tls.crt", KeyName: "tls.key"}, ""},
		"a certificate that is not there":   {MetricsOptions{Address: ":8443", Secure: true, CertDir: folder, CertName: "cert.pem", KeyName: "tls.key"}, "--metrics-cert-name"},
		"a key that is not there":           {MetricsOptions{Address: ":8443", Secure: true, CertDir: folder, CertName: "tls.crt", KeyName: "key.pem"}, "--metrics-cert-key"},
		"a certificate that is not used":    {MetricsOptions{Address: ":8443", CertDir: folder}, "--metrics-secure=false serves without TLS"},
		"guarded profiles":                  {MetricsOptions{Address: ":8443", Secure: true, Profiles: true}, ""},
		"profiles for this machine":         {MetricsOptions{Address: "127.0.0.1:8080", Profiles: true}, ""},
		"profiles for this machine by name": {MetricsOptions{Address: "localhost:8080", Profiles: true}, ""},
		"profiles for all":                  {MetricsOptions{Address: ":8080", Profiles: true}, "must be a loopback address such as 127.0.0.1:8080, not :8080"},
		"profiles for nobody":               {MetricsOptions{Address: NoMetrics, Secure: true, Profiles: true}, "--metrics-bind-address, which is 0"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.options.Check()
			if c.err == "" {
				NewWithT(t).Expect(err).NotTo(HaveOccurred())
				return
			}
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(c.err)))
		})
	}
}

// TestProfilesHaveTheGuardOfMetrics: profiles are on the same server as the metrics, and on no
// other.
func TestProfilesHaveTheGuardOfMetrics(t *testing.T) {
	g := NewWithT(t)
	secure := MetricsOptions{Address: ":8443", Secure: true, Profiles: true}.Server()
	g.Expect(secure.FilterProvider).NotTo(BeNil())
	g.Expect(secure.SecureServing).To(BeTrue())
	g.Expect(secure.ExtraHandlers).To(HaveKey("/debug/pprof/"))
	g.Expect(MetricsOptions{Address: ":8443", Secure: true}.Server().ExtraHandlers).To(BeEmpty(), "they are asked for")
	g.Expect(MetricsOptions{Address: ":8080"}.Server().FilterProvider).To(BeNil())
}
