package metrics

import (
	"os"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

var declared = regexp.MustCompile(`(?m)^\t(\w+) += prometheus\.New`)

// TestEachMetricIsRegisteredAndSet finds metrics that no scrape would show.
func TestEachMetricIsRegisteredAndSet(t *testing.T) {
	g := NewWithT(t)
	content, err := os.ReadFile("metrics.go")
	g.Expect(err).NotTo(HaveOccurred())
	text := string(content)
	_, registered, found := strings.Cut(text, "Registry.MustRegister(")
	g.Expect(found).To(BeTrue())
	registered, _, _ = strings.Cut(registered, ")")

	metrics := declared.FindAllStringSubmatch(text, -1)
	g.Expect(metrics).NotTo(BeEmpty())
	for _, metric := range metrics {
		name := metric[1]
		g.Expect(strings.Split(registered, ", ")).To(ContainElement(name), "register it in init")
		g.Expect(text).To(MatchRegexp(`\b%s\.(WithLabelValues|Inc|Set|Observe)\b`, name), "no function sets it")
	}
}
