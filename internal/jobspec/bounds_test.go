package jobspec

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// TestReferencesExpandWithinBounds uses a template below the size limit of an object and a property
// value that CodePipeline allows.
func TestReferencesExpandWithinBounds(t *testing.T) {
	const value, most = 1000, limits.Expanded / 1000
	build := func(args ...string) error {
		job := sampleJob()
		job.Spec.Configuration["Target"] = strings.Repeat("<", value)
		_, err := Build(sampleAction(step("unit", args...)), job, v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
		return err
	}
	one := "$(config.Target)"
	for name, c := range map[string]struct {
		args  []string
		field string
	}{
		"as much as there is room for": {[]string{strings.Repeat(one, most)}, ""},
		"more in one argument":         {[]string{strings.Repeat(one, 80_000)}, "args[0]"},
		"more in all arguments":        {[]string{strings.Repeat(one, most), one}, "args[1]"},
		"more, but escaped":            {[]string{strings.Repeat("$$(config.Target)", 80_000)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			err := build(c.args...)
			if c.field == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			var field *FieldError
			g.Expect(errors.As(err, &field)).To(BeTrue(), "%v", err)
			g.Expect(field.Field).To(Equal("spec.jobTemplate.spec.template.spec.containers[0]." + c.field))
			g.Expect(err).To(MatchError(ContainSubstring("use the variables (CODEPIPELINE_CONFIG_…)")))
		})
	}
}

func TestDefaultsExpandWithinBounds(t *testing.T) {
	action := sampleAction(step("unit", "$(config.Flavor|"+strings.Repeat("x", limits.Expanded+1)+")"))
	NewWithT(t).Expect(Validate(action, nil)).To(MatchError(ContainSubstring("after its references are replaced")))
}

func TestContainersOfATemplateAreBounded(t *testing.T) {
	const field = "spec.jobTemplate.spec.template.spec.containers: must be at most 64"
	for name, c := range map[string]struct {
		steps, others int
		refused       bool
	}{
		"as many as may be":            {steps: 60, others: 4},
		"one more step":                {steps: 61, others: 4, refused: true},
		"one more init container":      {steps: 60, others: 5, refused: true},
		"as many as an object has":     {steps: 30_000, refused: true},
		"as many, but init containers": {steps: 1, others: 30_000, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction()
			pod := &action.Spec.JobTemplate.Spec.Template.Spec
			for i := range c.steps {
				pod.Containers = append(pod.Containers, corev1.Container{Name: fmt.Sprintf("step%d", i), Image: "work:1"})
			}
			for i := range c.others {
				pod.InitContainers = append(pod.InitContainers, corev1.Container{Name: fmt.Sprintf("init%d", i), Image: "work:1"})
			}
			_, built := Build(action, sampleJob(), v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
			_, tried := DryRunJob(action, Options{})
			for _, err := range []error{Validate(action, nil), built, tried} {
				if c.refused {
					g.Expect(err).To(MatchError(ContainSubstring(field)))
				} else {
					g.Expect(err).NotTo(HaveOccurred())
				}
			}
		})
	}
}
