package jobspec

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// workspaceOf parses a workspace from YAML.
func workspaceOf(g *WithT, text string) *v1alpha1.Workspace {
	workspace := &v1alpha1.Workspace{}
	g.Expect(yaml.UnmarshalStrict([]byte(text), workspace)).To(Succeed())
	return workspace
}

const claimOf200Gi = `volumeClaimTemplate: {metadata: {labels: {team: web}}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 200Gi}}}}`

func TestWorkspace(t *testing.T) {
	for name, c := range map[string]struct {
		workspace, byDefault string
		want                 string // the volume's source
		fetchLimit           string
	}{
		"none":                     {want: "emptyDir: {}", fetchLimit: "256Mi"},
		"the operator's limit":     {byDefault: "50Gi", want: "emptyDir: {sizeLimit: 50Gi}", fetchLimit: "256Mi"},
		"a limit":                  {workspace: "sizeLimit: 20Gi", byDefault: "50Gi", want: "emptyDir: {sizeLimit: 20Gi}", fetchLimit: "256Mi"},
		"memory":                   {workspace: "{medium: Memory, sizeLimit: 1Gi}", want: "emptyDir: {medium: Memory, sizeLimit: 1Gi}", fetchLimit: "1280Mi"},
		"a claim has no such size": {workspace: claimOf200Gi, byDefault: "50Gi", fetchLimit: "256Mi"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(step("build"))
			if c.workspace != "" {
				action.Spec.Workspace = workspaceOf(g, c.workspace)
			}
			options := Options{}
			if c.byDefault != "" {
				options.WorkspaceSizeLimit = resource.MustParse(c.byDefault)
			}
			built, err := Build(action, sampleJob(), v1alpha1.Run{Number: 1, JobName: "build-1-1"}, options)
			g.Expect(err).NotTo(HaveOccurred())
			pod := built.Spec.Template.Spec
			g.Expect(pod.InitContainers[0].Name).To(Equal(podcontract.ContainerFetch))
			g.Expect(pod.InitContainers[0].Resources.Limits.Memory().Cmp(resource.MustParse(c.fetchLimit))).To(BeZero(), pod.InitContainers[0].Resources.Limits.Memory().String())
			if c.want == "" {
				return
			}
			g.Expect(pod.SecurityContext.FSGroup).To(BeNil())
			source, err := yaml.Marshal(pod.Volumes[indexOfShared(pod)].VolumeSource)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(source).To(MatchYAML(c.want))
		})
	}
}

// TestWorkspaceOnAClaim: a new file system belongs to root, so the kubelet must make it writable.
func TestWorkspaceOnAClaim(t *testing.T) {
	onMismatch, always := corev1.FSGroupChangeOnRootMismatch, corev1.FSGroupChangeAlways
	for name, c := range map[string]struct {
		given  *corev1.PodSecurityContext
		group  int64
		policy *corev1.PodFSGroupChangePolicy
	}{
		"no group":               {nil, runnerUser, &onMismatch},
		"a policy":               {&corev1.PodSecurityContext{FSGroupChangePolicy: &always}, runnerUser, &always},
		"the template's group":   {&corev1.PodSecurityContext{FSGroup: ptr.To[int64](7)}, 7, nil},
		"with a policy, as well": {&corev1.PodSecurityContext{FSGroup: ptr.To[int64](7), FSGroupChangePolicy: &always}, 7, &always},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(step("build"))
			action.Spec.Workspace = workspaceOf(g, claimOf200Gi)
			pod(action).SecurityContext = c.given
			built, err := Build(action, sampleJob(), v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
			g.Expect(err).NotTo(HaveOccurred())
			context := built.Spec.Template.Spec.SecurityContext
			g.Expect(context.FSGroup).To(HaveValue(Equal(c.group)))
			g.Expect(context.FSGroupChangePolicy).To(Equal(c.policy))
			g.Expect(context.SupplementalGroups).To(ContainElement(int64(runnerUser)), "all containers may write, whatever the group is")

			volumes := built.Spec.Template.Spec.Volumes
			g.Expect(volumes).To(HaveLen(4), "the workspace, the helper, no token, and the handover")
			claim := volumes[0].Ephemeral.VolumeClaimTemplate
			g.Expect(claim.Spec).To(Equal(action.Spec.Workspace.VolumeClaimTemplate.Spec))
			g.Expect(claim.Labels).To(And(HaveKeyWithValue("team", "web"), HaveKeyWithValue(v1alpha1.LabelPipeline, "web")))
			g.Expect(action.Spec.Workspace.VolumeClaimTemplate.Labels).To(HaveLen(1), "the CustomAction stays as it is")
		})
	}
}

func TestWorkspaceThatCantBeWrittenTo(t *testing.T) {
	for workspace, says := range map[string]string{
		"sizeLimit: 20Gi":                 "",
		"sizeLimit: 0":                    "spec.workspace.sizeLimit: must be more than 0",
		"sizeLimit: -1":                   "spec.workspace.sizeLimit: must be more than 0",
		claimOf200Gi:                      "",
		"volumeClaimTemplate: {spec: {}}": "", // the API server reports what is missing
		"volumeClaimTemplate: {spec: {volumeMode: Block}}":                             "spec.workspace.volumeClaimTemplate.spec.volumeMode: must be Filesystem",
		"volumeClaimTemplate: {spec: {accessModes: [ReadOnlyMany]}}":                   "spec.workspace.volumeClaimTemplate.spec.accessModes: must have one",
		"volumeClaimTemplate: {spec: {accessModes: [ReadOnlyMany, ReadWriteOncePod]}}": "",
	} {
		t.Run(workspace, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(step("build"))
			action.Spec.Workspace = workspaceOf(g, workspace)
			if says == "" {
				g.Expect(Validate(action, nil)).To(Succeed())
				return
			}
			g.Expect(Validate(action, nil)).To(MatchError(HavePrefix(says)))
		})
	}
}

// TestRefusedWorkspaceIsNamed: the API server only knows the fields of the Job.
func TestRefusedWorkspaceIsNamed(t *testing.T) {
	g := NewWithT(t)
	action := sampleAction(step("build"))
	pod(action).Volumes = []corev1.Volume{{Name: "cache"}}
	action.Spec.Workspace = workspaceOf(g, "volumeClaimTemplate: {spec: {}}")
	job, err := DryRunJob(action, Options{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(Refusal(action, job, false, []metav1.StatusCause{{
		Field: "spec.template.spec.volumes[1].ephemeral.volumeClaimTemplate.spec.accessModes", Message: "Required value: at least 1 access mode is required",
	}})).To(MatchError("spec.workspace.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required"))
}

// TestVolumeOfTheTemplateAsWorkspace mounts a volume of the template as the workspace.
func TestVolumeOfTheTemplateAsWorkspace(t *testing.T) {
	action := sampleAction(step("build"))
	mounting(corev1.VolumeMount{Name: "work", MountPath: podcontract.Root})(action)
	NewWithT(t).Expect(Validate(action, nil)).To(MatchError(ContainSubstring("(spec.workspace)")))
}
