package jobspec

import (
	"errors"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

// TestLongNamesAsLabels uses names as labels that are too long for one.
func TestLongNamesAsLabels(t *testing.T) {
	long := strings.Repeat("web-", 25)
	for name, c := range map[string]struct {
		label, want, says string
	}{
		"as it is":          {label: "$(pipeline.name)", says: "spec.jobTemplate.metadata.labels.pipeline: "},
		"the way out":       {label: "$(pipeline.name)", says: "at most 63 letters, digits, -, _ and ., and begins and ends with a letter or digit: write $(label:pipeline.name), which"},
		"the whole way out": {label: "a.$(pipeline.name).$(label:stage.name)", says: "write a.$(label:pipeline.name).$(label:stage.name),"},
		"of a default":      {label: "$(config.Flavor|a b)", says: "write $(label:config.Flavor|a b),"},
		"label-safe":        {label: "$(label:pipeline.name)", want: naming.LabelSafe(long)},
		"too much beside":   {label: "x-$(label:pipeline.name)", says: "change the text beside it"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action, job := sampleAction(step("build")), sampleJob()
			action.Spec.JobTemplate.Labels = map[string]string{"pipeline": c.label}
			job.Spec.Pipeline.Name = long
			built, err := Build(action, job, v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
			if c.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(c.says)))
				g.Expect(errors.As(err, new(*FieldError))).To(BeTrue(), "it is final")
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(built.Labels).To(HaveKeyWithValue("pipeline", c.want))
		})
	}
}

// TestWhatIsALabelValue: a long value is accepted elsewhere.
func TestWhatIsALabelValue(t *testing.T) {
	long := strings.Repeat("web/", 25)
	job := sampleJob()
	job.Spec.Pipeline.Name = long
	for name, c := range map[string]struct {
		put     func(*v1alpha1.CustomAction)
		refused bool
	}{
		"a label of the Job": {func(a *v1alpha1.CustomAction) { a.Spec.JobTemplate.Labels = map[string]string{"a": "$(pipeline.name)"} }, true},
		"a label of the pod": {func(a *v1alpha1.CustomAction) {
			a.Spec.JobTemplate.Spec.Template.Labels = map[string]string{"a": "$(pipeline.name)"}
		}, true},
		"a node selector": {func(a *v1alpha1.CustomAction) { pod(a).NodeSelector = map[string]string{"a": "$(pipeline.name)"} }, true},
		"an annotation": {func(a *v1alpha1.CustomAction) {
			a.Spec.JobTemplate.Annotations = map[string]string{"labels": "$(pipeline.name)"}
		}, false},
		"an argument":              {args("$(pipeline.name)"), false},
		"a literal is not ours":    {func(a *v1alpha1.CustomAction) { a.Spec.JobTemplate.Labels = map[string]string{"a": long} }, false},
		"a reference that is fine": {func(a *v1alpha1.CustomAction) { a.Spec.JobTemplate.Labels = map[string]string{"a": "$(stage.name)"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			action := sampleAction(step("build"))
			c.put(action)
			_, err := substitute(action.Spec.JobTemplate, scopeOf(action, job, 1), false)
			NewWithT(t).Expect(err != nil).To(Equal(c.refused), "%v", err)
		})
	}
}

// TestDefaultsAreCheckedBeforeThereIsAJob: every property of the sample has a value, so defaults
// are checked separately.
func TestDefaultsAreCheckedBeforeThereIsAJob(t *testing.T) {
	for label, says := range map[string]string{
		"$(config.Flavor|a b)":       "spec.jobTemplate.spec.template.metadata.labels.flavor: \"a b\" can't be the value of a label",
		"$(label:config.Flavor|a b)": "",
		"$(config.Flavor|mild)":      "",
		"$(config.Flavor)":           "",
	} {
		t.Run(label, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(step("build"))
			action.Spec.JobTemplate.Spec.Template.ObjectMeta = metav1.ObjectMeta{Labels: map[string]string{"flavor": label}}
			if says == "" {
				g.Expect(Validate(action, nil)).To(Succeed())
				return
			}
			g.Expect(Validate(action, nil)).To(MatchError(ContainSubstring(says)))
		})
	}
}
