package jobspec

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestEmptyOutputsReachTheReport: the default adds no argument, because the runner image of an
// older version does not know the flag.
func TestEmptyOutputsReachTheReport(t *testing.T) {
	for rule, want := range map[v1alpha1.EmptyOutputs][]string{
		"": {}, v1alpha1.EmptyOutputsWarn: {}, v1alpha1.EmptyOutputsFail: {"--empty-outputs=Fail"}, v1alpha1.EmptyOutputsAllow: {"--empty-outputs=Allow"},
	} {
		t.Run(string(rule), func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(step("work"))
			action.Spec.EmptyOutputs = rule
			built, err := Build(action, sampleJob(), v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
			g.Expect(err).NotTo(HaveOccurred())
			const ofAll = 4 // runner report --envelope-limit --handover
			g.Expect(built.Spec.Template.Spec.Containers[0].Command[ofAll:]).To(Equal(want))
			g.Expect(built.Spec.Template.Spec.InitContainers[0].Command).NotTo(ContainElement(HavePrefix("--empty-outputs")))
		})
	}
}

func TestArtifactsOfTheSpecReachTheContainers(t *testing.T) {
	const folder = "/codepipeline/input/source"
	const file = folder + "/Ab3dE5g.jar"
	cases := map[string]struct {
		given     v1alpha1.Artifacts
		both      []string // arguments of fetch and report
		fetch     []string
		inputPath string
	}{
		"nothing":             {v1alpha1.Artifacts{}, nil, nil, folder},
		"the defaults":        {v1alpha1.Artifacts{Links: v1alpha1.LinksRefuse, Unpack: v1alpha1.UnpackAuto}, nil, nil, folder},
		"links are skipped":   {v1alpha1.Artifacts{Links: v1alpha1.LinksSkip}, []string{"--links=Skip"}, nil, folder},
		"links are kept":      {v1alpha1.Artifacts{Links: v1alpha1.LinksKeep}, []string{"--links=Keep"}, nil, folder},
		"nothing is unpacked": {v1alpha1.Artifacts{Unpack: v1alpha1.UnpackNever}, nil, []string{"--file=source"}, file},
		"one is not unpacked": {v1alpha1.Artifacts{Inputs: []v1alpha1.InputArtifact{{Name: "source", Unpack: v1alpha1.UnpackNever}}},
			nil, []string{"--file=source"}, file},
		"another is not unpacked": {v1alpha1.Artifacts{Inputs: []v1alpha1.InputArtifact{{Name: "other", Unpack: v1alpha1.UnpackNever}}}, nil, nil, folder},
		"this one is unpacked": {v1alpha1.Artifacts{Unpack: v1alpha1.UnpackNever, Inputs: []v1alpha1.InputArtifact{{Name: "source", Unpack: v1alpha1.UnpackAuto}}},
			nil, nil, folder},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action, job := sampleAction(step("work", "cp $(input.source) .")), sampleJob()
			action.Spec.Artifacts = c.given
			job.Spec.InputArtifacts[0].S3Location.ObjectKey = "web/source/Ab3dE5g.jar"
			built, err := Build(action, job, v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
			g.Expect(err).NotTo(HaveOccurred())
			pod := built.Spec.Template.Spec
			const ofAll = 4 // runner fetch --envelope-limit --handover
			g.Expect(pod.InitContainers[0].Command[ofAll:]).To(Equal(append(append([]string{}, c.both...), c.fetch...)))
			g.Expect(pod.Containers[0].Command[ofAll:]).To(Equal(append([]string{}, c.both...)))
			g.Expect(pod.InitContainers[2].Env).To(ContainElement(corev1.EnvVar{Name: "CODEPIPELINE_INPUT_SOURCE", Value: c.inputPath}))
			g.Expect(pod.InitContainers[2].Args).To(Equal([]string{"cp " + c.inputPath + " ."}))
		})
	}
}
