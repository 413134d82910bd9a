package jobspec

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestBuild compares whole Jobs with golden files. After an intended change, run go test
// ./internal/jobspec -update.
func TestBuild(t *testing.T) {
	options := Options{RunnerImage: "operator:1", Runner: RunnerOptions{DefaultEnv: []corev1.EnvVar{{Name: "AWS_ENDPOINT_URL", Value: "http://emulator"}}}}
	full := sampleAction(step("compile", "make $(config.Target)"), step("check", "make check"))
	full.Spec.Timeout = &metav1.Duration{Duration: time.Hour}
	full.Spec.JobTemplate.Labels = map[string]string{"kueue.x-k8s.io/queue-name": "builds"}
	full.Spec.JobTemplate.Spec.Template.Spec.InitContainers = []corev1.Container{
		{Name: "db", Image: "db:1", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)},
	}
	bare := sampleJob()
	bare.Spec.InputArtifacts, bare.Spec.OutputArtifacts, bare.Spec.SecretConfiguration = nil, nil, nil

	cases := map[string]struct {
		action *v1alpha1.CustomAction
		job    *v1alpha1.PipelineJob
		run    v1alpha1.Run
	}{
		"full":                   {full, sampleJob(), v1alpha1.Run{Number: 1, JobName: "build-1-1"}},
		"no-artifacts-continued": {sampleAction(step("ask", "poll")), bare, v1alpha1.Run{Number: 3, JobName: "build-1-3", ContinuationToken: "deploy-$42"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			built, err := Build(c.action, c.job, c.run, options)
			g.Expect(err).NotTo(HaveOccurred())
			got, err := yaml.Marshal(built)
			g.Expect(err).NotTo(HaveOccurred())
			golden := filepath.Join("testdata", name+".yaml")
			if *update {
				g.Expect(os.WriteFile(golden, got, 0o644)).To(Succeed())
			}
			want, err := os.ReadFile(golden)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(got)).To(Equal(string(want)))
		})
	}
}

// TestLossesAreRetried: a pod that is lost to a disruption is created again, whatever the
// template's rules about exit codes.
func TestLossesAreRetried(t *testing.T) {
	onLoss := func(action batchv1.PodFailurePolicyAction) batchv1.PodFailurePolicyRule {
		return batchv1.PodFailurePolicyRule{Action: action, OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
			{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue},
		}}
	}
	onExit := batchv1.PodFailurePolicyRule{Action: batchv1.PodFailurePolicyActionFailJob, OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
		Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{42},
	}}
	type rules = []batchv1.PodFailurePolicyRule
	ignore, fail := onLoss(batchv1.PodFailurePolicyActionIgnore), onLoss(batchv1.PodFailurePolicyActionFailJob)
	cases := map[string]struct {
		given *batchv1.PodFailurePolicy
		want  rules
	}{
		"no policy":                           {nil, rules{ignore}},
		"a policy without rules":              {&batchv1.PodFailurePolicy{}, rules{ignore}},
		"rules on exit codes":                 {&batchv1.PodFailurePolicy{Rules: rules{onExit}}, rules{ignore, onExit}},
		"a rule of the user's on such losses": {&batchv1.PodFailurePolicy{Rules: rules{onExit, fail}}, rules{onExit, fail}},
		"19 rules":                            {&batchv1.PodFailurePolicy{Rules: slices.Repeat(rules{onExit}, 19)}, append(rules{ignore}, slices.Repeat(rules{onExit}, 19)...)},
		"20 rules":                            {&batchv1.PodFailurePolicy{Rules: slices.Repeat(rules{onExit}, 20)}, slices.Repeat(rules{onExit}, 20)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(step("compile", "make"))
			action.Spec.JobTemplate.Spec.PodFailurePolicy = c.given
			before := action.DeepCopy()
			built, err := Build(action, sampleJob(), v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(built.Spec.PodFailurePolicy.Rules).To(Equal(c.want))
			g.Expect(action).To(Equal(before), "the template stays as it is")
		})
	}
}

func TestPodReplacementPolicy(t *testing.T) {
	g := NewWithT(t)
	action := sampleAction(step("compile", "make"))
	built, err := Build(action, sampleJob(), v1alpha1.Run{Number: 1}, Options{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(built.Spec.PodReplacementPolicy).To(HaveValue(Equal(batchv1.Failed)))
	action.Spec.JobTemplate.Spec.PodReplacementPolicy = ptr.To(batchv1.TerminatingOrFailed)
	built, err = Build(action, sampleJob(), v1alpha1.Run{Number: 1}, Options{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(built.Spec.PodReplacementPolicy).To(HaveValue(Equal(batchv1.TerminatingOrFailed)))
}

func TestBuildRefusesWhatAReferenceMakes(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.CustomAction, *v1alpha1.PipelineJob)
		says   string
	}{
		"a name of the operator's": {func(a *v1alpha1.CustomAction, j *v1alpha1.PipelineJob) {
			pod(a).Containers[0].Name, j.Spec.Configuration["Target"] = "$(config.Target)", "codepipeline-x"
		}, ".containers[0].name: $(config.Target) must not be here: "},
		"the job's Secret": {func(a *v1alpha1.CustomAction, j *v1alpha1.PipelineJob) {
			j.Spec.Configuration["Target"] = naming.SecretName(j)
			pod(a).Volumes = []corev1.Volume{{Name: "x", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "$(config.Target)"}}}}
		}, ".volumes[0].secret.secretName: must not be the Secret of a PipelineJob"},
		"an artifact that is no folder": {func(_ *v1alpha1.CustomAction, j *v1alpha1.PipelineJob) {
			j.Spec.OutputArtifacts = []v1alpha1.Artifact{{Name: "../other"}}
		}, `the output artifacts of the pipeline's action: "../other" can't be a folder`},
		"a value that no program takes": {func(_ *v1alpha1.CustomAction, j *v1alpha1.PipelineJob) {
			j.Spec.Configuration["Target"] = strings.Repeat("x", limits.EnvironmentVariable-len("CODEPIPELINE_CONFIG_TARGET="))
			j.Spec.Configuration["Note"] = strings.Repeat("x", limits.EnvironmentVariable)
		}, "configuration.Note: must be at most 131071 bytes long as an environment variable, which is Linux's limit, and has 131096"},
		"one variable for two inputs": {func(_ *v1alpha1.CustomAction, j *v1alpha1.PipelineJob) {
			j.Spec.InputArtifacts = []v1alpha1.Artifact{{Name: "a-b"}, {Name: "c"}, {Name: "A_b"}}
		}, `the input artifacts of the pipeline's action: "a-b" and "A_b" would both be in CODEPIPELINE_INPUT_A_B: give one of them another name`},
		"one variable for two outputs": {func(_ *v1alpha1.CustomAction, j *v1alpha1.PipelineJob) {
			j.Spec.OutputArtifacts = []v1alpha1.Artifact{{Name: "a"}, {Name: "A"}}
		}, "CODEPIPELINE_OUTPUT_A"},
	} {
		t.Run(name, func(t *testing.T) {
			action, job := sampleAction(step("work", "true")), sampleJob()
			c.change(action, job)
			options := Options{AllowReferencesIn: []v1alpha1.ReferencePlace{v1alpha1.ReferenceInSecretName}}
			_, err := Build(action, job, v1alpha1.Run{Number: 1, JobName: "build-1-1"}, options)
			g := NewWithT(t)
			g.Expect(err).To(MatchError(ContainSubstring(c.says)))
			g.Expect(errors.As(err, new(*FieldError))).To(BeTrue())
		})
	}
}
