package integration

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// shellScript has command substitutions with a dot in the first word.
const shellScript = `stamp=$(date +%Y.%m.%d)
files=$(ls -1 | wc -l)
python=$(python3.11 -c 'print(1)' || true)
tag=$(version.sh || true)
echo "$stamp $files $python $tag"
`

// TestCommandsInScriptsAreLeftAlone uses a script whose commands look like references.
func TestCommandsInScriptsAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.work(func(a *v1alpha1.CustomAction) {
		step := &a.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
		step.Command, step.Args = []string{"sh", "-euc"}, []string{shellScript}
	})
	job := w.RunningJob(1)
	w.Expect(stepOf(job.Spec.Template.Spec).Args).To(Equal([]string{shellScript}))
}

// TestTyposInReferences uses typos in references of known groups.
func TestTyposInReferences(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) {
		a.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = []string{"$(run.sh --all)"}
	}))).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)).To(And(
		ContainSubstring("containers[0].args[0]: $(run.sh --all) is not a known reference; known are "),
		HaveSuffix("; if it is a command for a shell, write $$(run.sh --all)")))
}

// TestWindowsIsRefused: no job is polled for with a template for Windows nodes.
func TestWindowsIsRefused(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) {
		pod := &a.Spec.JobTemplate.Spec.Template.Spec
		pod.OS, pod.NodeSelector = &corev1.PodOS{Name: corev1.Windows}, map[string]string{corev1.LabelOSStable: "windows"}
		pod.Containers[0].Command = []string{"powershell", "-Command", "docker build ."}
	}))).To(Succeed())
	message := w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)
	w.Expect(message).To(HavePrefix("spec.jobTemplate.spec.template.spec.os.name: must not require Windows: "))
	w.Expect(message).NotTo(ContainSubstring("securityContext"), "that is the operator's")
	w.Expect(message).NotTo(ContainSubstring("\n"), "one sentence")
	w.Expect(w.Calls("PollForJobs")).To(BeZero())
}

// startWith starts a pipeline with a long value, whose action has labels.
func (w *world) startWith(labels map[string]string) {
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) {
		a.Spec.JobTemplate.Labels = labels
		a.Spec.ActionType.ConfigurationProperties = append(a.Spec.ActionType.ConfigurationProperties, v1alpha1.ConfigurationProperty{Name: "Level"})
	}))).To(Succeed())
	w.awaitRegistration()
	w.StartPipeline(map[string]string{"Target": strings.Repeat("service-", 10)})
}

// TestLongNamesBecomeLabels uses a value that labels can't have, and an optional property that is
// not set.
func TestLongNamesBecomeLabels(t *testing.T) {
	w := newWorld(t)
	w.startWith(map[string]string{"pipeline": "$(label:pipeline.name)", "target": "$(label:config.Target)", "level": "$(label:config.Level|very high)"})
	w.Expect(w.RunningJob(1).Labels).To(And(HaveKeyWithValue("pipeline", "p"),
		HaveKeyWithValue("target", MatchRegexp("^(service-){5}servic-[0-9a-f]{16}$")), HaveKeyWithValue("level", MatchRegexp("^very-high-[0-9a-f]{16}$"))))
}

// TestLabelThatIsTooLong: the action fails with a message that names the remedy.
func TestLabelThatIsTooLong(t *testing.T) {
	w := newWorld(t)
	w.startWith(map[string]string{"pipeline": "$(pipeline.name)", "target": "$(config.Target)"})
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.ErrorDetails).NotTo(BeNil())
		g.Expect(aws.ToString(state.ErrorDetails.Code)).To(Equal("ConfigurationError"))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(And(
			ContainSubstring("spec.jobTemplate.metadata.labels.target: "), ContainSubstring("write $(label:config.Target)")))
	})
}

// claimTemplate returns the template of a large volume.
func claimTemplate() *corev1.PersistentVolumeClaimTemplate {
	return &corev1.PersistentVolumeClaimTemplate{Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("200Gi")}},
	}}
}

// TestWorkspaceOnAVolume: the API server accepts a Job with a claim, and the pod waits for it.
func TestWorkspaceOnAVolume(t *testing.T) {
	w := newWorld(t)
	w.work(func(a *v1alpha1.CustomAction) {
		a.Spec.Workspace = &v1alpha1.Workspace{VolumeClaimTemplate: claimTemplate()}
	})
	job := w.RunningJob(1)
	spec := job.Spec.Template.Spec
	w.Expect(spec.SecurityContext.FSGroup).To(HaveValue(BeEquivalentTo(65532)))
	w.Expect(spec.SecurityContext.FSGroupChangePolicy).To(HaveValue(Equal(corev1.FSGroupChangeOnRootMismatch)))
	mounted := stepOf(spec).VolumeMounts
	w.Expect(mounted).To(ContainElement(And(HaveField("Name", podcontract.SharedVolume), HaveField("MountPath", "/codepipeline"))))

	now := metav1.Now()
	w.Expect(w.Kube.Create(w.Ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: "no-class", Namespace: w.Namespace},
		InvolvedObject: corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: w.Namespace, Name: job.Name + "-pod-codepipeline-shared"},
		Reason:         "ProvisioningFailed", Message: `storageclass.storage.k8s.io "fast" not found`, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	})).To(Succeed())
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
		Message: "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
	}}})
	w.isRunning(metav1.ConditionFalse, v1alpha1.ReasonUnschedulable, "unbound immediate PersistentVolumeClaims", `ProvisioningFailed: storageclass.storage.k8s.io "fast" not found`)
}

// TestWorkspaceThatTheAPIServerRefuses uses a claim without required fields.
func TestWorkspaceThatTheAPIServerRefuses(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) {
		claim := claimTemplate()
		claim.Spec.AccessModes = nil
		a.Spec.Workspace = &v1alpha1.Workspace{VolumeClaimTemplate: claim}
	}))).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)).To(
		HavePrefix("spec.workspace.volumeClaimTemplate.spec.accessModes: Required value"))
}

// TestVolumeAtTheWorkspace: a template mounts its own volume there.
func TestVolumeAtTheWorkspace(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) {
		pod := &a.Spec.JobTemplate.Spec.Template.Spec
		pod.Volumes = []corev1.Volume{{Name: "work", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: claimTemplate()}}}}
		pod.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "work", MountPath: "/codepipeline"}}
	}))).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)).To(ContainSubstring("(spec.workspace)"))
}

// stepOf returns the step "work" of a pod.
func stepOf(pod corev1.PodSpec) corev1.Container {
	for _, container := range pod.InitContainers {
		if container.Name == "work" {
			return container
		}
	}
	return corev1.Container{}
}
