//go:build e2e

package e2e

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// textProperty is a property that a pipeline may set to any text.
const textProperty = "[{name: Text, required: true, key: false, secret: false, type: String}]"

// hostileText runs a command if a shell or the kubelet treats it as more than data.
const hostileText = `x"; touch /tmp/injected; echo "$(touch /tmp/injected) $(CODEPIPELINE_JOB_ID) ` + "`touch /tmp/injected`"

// TestPipelineTextIsNoScript: templates with a pipeline's text in scripts and in an image are
// refused. A template that follows the refusal's advice handles a hostile text as data.
func TestPipelineTextIsNoScript(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	for _, w := range []work{
		{Name: "text-pasted", Properties: textProperty, Script: `echo "$(config.Text)"`},
		{Name: "text-expanded", Properties: textProperty, Script: `echo "$(CODEPIPELINE_CONFIG_TEXT)"`},
		{Name: "text-image", Properties: textProperty, Script: "true", Image: "registry.example.com/$(config.Text)"},
	} {
		var text bytes.Buffer
		s.Expect(workYAML.Execute(&text, w)).To(Succeed())
		out, err := s.tryKubectl(text.String(), "apply", "--server-side", "-f", "-")
		s.Expect(err).NotTo(HaveOccurred(), out)
		s.kubectl("-n", namespace, "wait", "--for=condition=Ready=False", "--timeout=1m", "cpaction/"+w.Name)
		shown := s.kubectl("-n", namespace, "get", "cpaction", w.Name, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")]}`)
		s.Expect(shown).To(And(ContainSubstring(v1alpha1.ReasonInvalidJobTemplate), ContainSubstring(" must not be ")), w.Name)
		s.kubectl("-n", namespace, "delete", "cpaction", w.Name)
	}

	careful := work{Name: "text-as-data", Properties: textProperty,
		Script: `printf '%s' "$CODEPIPELINE_CONFIG_TEXT" > "$CODEPIPELINE_RESULT/summary"; test ! -e /tmp/injected`}
	s.apply(careful)
	s.put("e2e.zip", nil)
	execution := s.startPipeline("text-as-data", map[string]string{"source": "e2e.zip"},
		custom(types.ActionCategoryTest, careful.Name).Configure("Text", hostileText))
	s.Expect(s.ended("text-as-data", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))
	s.Expect(aws.ToString(s.actionState(s, "text-as-data", careful.Name).Summary)).To(Equal(hostileText))
}
