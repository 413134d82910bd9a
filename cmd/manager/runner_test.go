package main

import (
	"testing"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

func TestResourcesOfTheRunner(t *testing.T) {
	for name, c := range map[string]struct{ list, want, err string }{
		"requests and limits":  {"limits.memory=512Mi, requests.cpu=50m,limits.cpu=1", "requests.cpu=50m,limits.cpu=1,limits.memory=512Mi", ""},
		"a resource with dots": {"limits.example.com/gpu=1", "limits.example.com/gpu=1", ""},
		"no kind":              {"memory=512Mi", "", `"memory=512Mi" must be requests.RESOURCE=QUANTITY or limits.RESOURCE=QUANTITY`},
		"no resource":          {"limits.=1", "", `must be requests.RESOURCE=QUANTITY`},
		"no quantity":          {"limits.cpu", "", `"limits.cpu": "" must be a quantity, such as 500m or 512Mi`},
		"less than nothing":    {"limits.cpu=-1", "", `"-1" must be a quantity`},
		"nothing":              {"", "", `"" must be requests.RESOURCE=QUANTITY`},
		"more than the limit":  {"requests.cpu=2,limits.cpu=1", "", "requests.cpu is 2: it must be at most limits.cpu, 1"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var r resources
			err := r.Set(c.list)
			if c.err != "" {
				g.Expect(err).To(MatchError(ContainSubstring(c.err)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(r.String()).To(Equal(c.want))
		})
	}
}

func TestCAOfTheRunner(t *testing.T) {
	for text, want := range map[string]string{"aws-ca": "aws-ca/ca.crt", "aws-ca/bundle.pem": "aws-ca/bundle.pem", "": "", "/k": "", "a/": "", "a/b/c": ""} {
		t.Run(text, func(t *testing.T) {
			g := NewWithT(t)
			var c caBundle
			err := c.Set(text)
			if want == "" {
				g.Expect(err).To(MatchError(ContainSubstring("must be CONFIGMAP or CONFIGMAP/KEY")))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(c.String()).To(Equal(want))
		})
	}
}

func TestEnvironmentThatIsPassedOn(t *testing.T) {
	for _, name := range append(passedOn, "AWS_CA_BUNDLE") {
		t.Setenv(name, "")
	}
	logged := ""
	log := funcr.New(func(_, args string) { logged += args + "\n" }, funcr.Options{})
	t.Setenv("HTTPS_PROXY", "http://proxy:3128")
	t.Setenv("no_proxy", "10.0.0.0/8,.svc")
	t.Setenv("AWS_USE_FIPS_ENDPOINT", "true")
	t.Setenv("HTTP_PROXY", "http://me:pa55word@proxy:3128")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "never")
	t.Setenv("AWS_CA_BUNDLE", "/etc/ca/ca.crt")

	t.Run("but what is secret, or a file", func(t *testing.T) {
		g := NewWithT(t)
		env, err := new(runnerFlags).env(log)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(env).To(ConsistOf(
			corev1.EnvVar{Name: "HTTPS_PROXY", Value: "http://proxy:3128"},
			corev1.EnvVar{Name: "no_proxy", Value: "10.0.0.0/8,.svc"},
			corev1.EnvVar{Name: "AWS_USE_FIPS_ENDPOINT", Value: "true"},
		))
		g.Expect(logged).To(And(ContainSubstring("HTTP_PROXY"), ContainSubstring("envFrom"), ContainSubstring("set --runner-ca")))
		g.Expect(logged).NotTo(ContainSubstring("pa55word"))
	})
	t.Run("a variable that Kubernetes did not replace", func(t *testing.T) {
		t.Setenv("AWS_ENDPOINT_URL", "http://$(EMULATOR_SERVICE_HOST)")
		_, err := new(runnerFlags).env(log)
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring("AWS_ENDPOINT_URL")))
	})
}
