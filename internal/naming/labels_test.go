package naming

import (
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

func TestLabelValue(t *testing.T) {
	long := strings.Repeat("a", 100)
	for name, c := range map[string]struct{ name, want string }{
		"a name":                        {"web.prod-1_x", "web.prod-1_x"},
		"63 characters":                 {long[:63], long[:63]},
		"too long":                      {long, digest(long)},
		"a character that labels lack":  {"web@prod", digest("web@prod")},
		"a hyphen at the end":           {"web-", digest("web-")},
		"names that begin in one way":   {long + "b", digest(long + "b")},
		"nothing at all is a value too": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(labelValue(c.name)).To(Equal(c.want))
			g.Expect(validation.IsValidLabelValue(labelValue(c.name))).To(BeEmpty())
		})
	}
}

// TestDigestIsThePages checks the digests against the command in docs/protocol.md that computes the
// digest of a name that can't be a label.
func TestDigestIsThePages(t *testing.T) {
	g := NewWithT(t)
	page, err := os.ReadFile("../../docs/protocol.md")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(page)).To(ContainSubstring("`printf %s NAME | sha256sum | cut -c1-36`"))
	for name, want := range map[string]string{
		"web@prod":               "356de18aa131b9e4f9da231e5ca92b4af1b3",
		"web-":                   "9161755adc7d8df0c9d09c787cac0e9c5ac0",
		strings.Repeat("a", 100): "2816597888e4a0d3a36b82b83316ab32680e",
	} {
		g.Expect(labelValue(name)).To(Equal(want), name)
	}
}

func TestLabels(t *testing.T) {
	job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Name: "build-1"}}
	job.Spec.ActionRef.Name = "build"
	job.Spec.Pipeline = v1alpha1.PipelineContext{Name: "web@prod", Stage: "Build"}
	NewWithT(t).Expect(Labels(job)).To(Equal(map[string]string{
		v1alpha1.LabelPipelineJob:  "build-1",
		v1alpha1.LabelCustomAction: "build",
		v1alpha1.LabelPipeline:     digest("web@prod"),
		v1alpha1.LabelStage:        "Build",
	}), "a job without a pipeline's action has no such label")
}
