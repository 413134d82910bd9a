package jobspec

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestWindows uses pods that require Windows, and some that don't.
func TestWindows(t *testing.T) {
	selector := func(labels map[string]string) func(*corev1.PodSpec) {
		return func(pod *corev1.PodSpec) { pod.NodeSelector = labels }
	}
	affinity := func(terms ...corev1.NodeSelectorRequirement) func(*corev1.PodSpec) {
		required := &corev1.NodeSelector{}
		for _, term := range terms {
			required.NodeSelectorTerms = append(required.NodeSelectorTerms, corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: "disk", Operator: corev1.NodeSelectorOpExists}, term,
			}})
		}
		return func(pod *corev1.PodSpec) {
			pod.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: required}}
		}
	}
	on := func(operator corev1.NodeSelectorOperator, systems ...string) corev1.NodeSelectorRequirement {
		return corev1.NodeSelectorRequirement{Key: corev1.LabelOSStable, Operator: operator, Values: systems}
	}
	const in, notIn = corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn
	for name, c := range map[string]struct {
		change func(*corev1.PodSpec)
		field  string // empty means accepted
	}{
		"the pod's system": {func(pod *corev1.PodSpec) { pod.OS = &corev1.PodOS{Name: corev1.Windows} }, "os.name"},
		"both": {func(pod *corev1.PodSpec) {
			pod.OS = &corev1.PodOS{Name: corev1.Windows}
			pod.NodeSelector = map[string]string{corev1.LabelOSStable: "windows"}
		}, "os.name"},
		"a node selector":            {selector(map[string]string{corev1.LabelOSStable: "windows"}), "nodeSelector.kubernetes.io/os"},
		"one of an older cluster":    {selector(map[string]string{"beta.kubernetes.io/os": "windows"}), "nodeSelector.beta.kubernetes.io/os"},
		"a node affinity":            {affinity(on(in, "windows")), "affinity.nodeAffinity"},
		"one that excludes Linux":    {affinity(on(notIn, "linux")), "affinity.nodeAffinity"},
		"two, both for Windows":      {affinity(on(in, "windows"), on(notIn, "linux")), "affinity.nodeAffinity"},
		"two, one of them for Linux": {affinity(on(in, "windows"), on(in, "linux")), ""},
		"either system":              {affinity(on(in, "windows", "linux")), ""},
		"not Windows":                {affinity(on(notIn, "windows")), ""},
		"an affinity without terms":  {affinity(), ""},
		"Linux": {func(pod *corev1.PodSpec) {
			pod.OS = &corev1.PodOS{Name: corev1.Linux}
			pod.NodeSelector = map[string]string{corev1.LabelOSStable: "linux"}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(step("build"))
			c.change(pod(action))
			err := Validate(action, nil)
			if c.field == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(HavePrefix("spec.jobTemplate.spec.template.spec." + c.field + ": must not require Windows: ")))
			g.Expect(strings.Count(err.Error(), "Windows:")).To(Equal(1), "one sentence")
		})
	}
}

// TestWindowsByAReference lets a pipeline choose the operating system of the nodes.
func TestWindowsByAReference(t *testing.T) {
	g := NewWithT(t)
	action, job := sampleAction(step("build")), sampleJob()
	pod(action).NodeSelector = map[string]string{corev1.LabelOSStable: "$(config.Target)"}
	granted := []v1alpha1.ReferencePlace{v1alpha1.ReferenceInNodeSelector}
	g.Expect(Validate(action, granted)).To(Succeed())
	job.Spec.Configuration["Target"] = "windows"
	_, err := Build(action, job, v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{AllowReferencesIn: granted})
	g.Expect(err).To(MatchError(ContainSubstring("must not require Windows")))
}
