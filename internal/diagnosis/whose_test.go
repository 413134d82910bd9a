package diagnosis

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// sized returns a container with these requests and limits. Empty means not set.
func sized(name, cpuRequest, cpuLimit, memoryRequest, memoryLimit string) corev1.Container {
	container := corev1.Container{Name: name, Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}}
	for _, given := range []struct {
		list  corev1.ResourceList
		name  corev1.ResourceName
		value string
	}{
		{container.Resources.Requests, corev1.ResourceCPU, cpuRequest}, {container.Resources.Limits, corev1.ResourceCPU, cpuLimit},
		{container.Resources.Requests, corev1.ResourceMemory, memoryRequest}, {container.Resources.Limits, corev1.ResourceMemory, memoryLimit},
	} {
		if given.value != "" {
			given.list[given.name] = resource.MustParse(given.value)
		}
	}
	return container
}

func TestWhoseContainerARefusalIsAbout(t *testing.T) {
	pod := corev1.PodSpec{
		InitContainers: []corev1.Container{
			sized(podcontract.ContainerFetch, "10m", "1", "64Mi", "256Mi"),
			sized("build", "500m", "4", "1Gi", "8Gi"),
			sized("cpu", "", "", "", ""),
		},
		Containers: []corev1.Container{sized(podcontract.ContainerReport, "10m", "1", "64Mi", "256Mi")},
	}
	const (
		own      = "For the operator's own codepipeline-fetch, codepipeline-report: correct them in spec.runner.resources of the CustomAction or, for all of them, by the operator's flag --runner-resources"
		template = "in spec.jobTemplate of the CustomAction"
	)
	for name, c := range map[string]struct {
		message string
		says    []string
		not     []string
	}{
		"a quota, of ours":          {`pods "x" is forbidden: failed quota: team: must specify limits.cpu for: codepipeline-fetch,codepipeline-report`, []string{own}, []string{template}},
		"a quota, of a step":        {`pods "x" is forbidden: failed quota: team: must specify limits.cpu for: build`, []string{template}, []string{"operator's own"}},
		"a quota, of both":          {`failed quota: team: must specify limits.cpu for: codepipeline-fetch,build; limits.memory for: codepipeline-report,build`, []string{own, `For "build": set the resources`, template}, nil},
		"a minimum of ours":         {`pods "x" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, minimum memory usage per Container is 128Mi, but request is 64Mi]`, []string{own}, []string{template}},
		"a maximum of ours":         {`pods "x" is forbidden: maximum cpu usage per Container is 500m, but limit is 1`, []string{own}, []string{template}},
		"a maximum of a step":       {`pods "x" is forbidden: maximum memory usage per Container is 4Gi, but limit is 8Gi`, []string{template}, []string{"operator's own"}},
		"a ratio of ours":           {`pods "x" is forbidden: cpu max limit to request ratio per Container is 10, but provided ratio is 100.000000`, []string{own}, []string{template}},
		"a ratio of both":           {`pods "x" is forbidden: [cpu max limit to request ratio per Container is 4, but provided ratio is 100.000000, x]`, []string{own, `For "build"`}, nil},
		"a request that is missing": {`pods "x" is forbidden: minimum cpu usage per Container is 50m.  No request is specified`, []string{template}, []string{"operator's own"}},
		"a sum of the pod":          {`pods "x" is forbidden: maximum cpu usage per Pod is 2, but limit is 5`, []string{template}, []string{"operator's own"}},
		"a place in a Job": {`admission webhook "validate.kyverno.svc-fail" denied the request: autogen-limits: validation error: CPU limits are required. rule failed at path /spec/template/spec/initContainers/0/resources/limits/cpu/`,
			[]string{"For the operator's own codepipeline-fetch: correct them in spec.runner.resources"}, []string{"codepipeline-report"}},
		"an image of ours":         {`admission webhook "x" denied the request: container <codepipeline-report> has an image that is not ours`, []string{"codepipeline-report: ask the cluster's administrators to change the rule", "--runner-image"}, []string{"spec.runner.resources"}},
		"a container by its name":  {`pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "build" must set it)`, []string{"securityContext", template}, []string{"operator's own"}},
		"the name of the pod":      {`pods "codepipeline-fetch-x" is forbidden: no`, []string{template}, []string{"operator's own"}},
		"a quota that is used up":  {`pods "x" is forbidden: exceeded quota: team, requested: cpu=4`, []string{"Retry the action when others have ended"}, []string{"spec.runner"}},
		"a word that is no name":   {`pods "x" is forbidden: minimum cpu usage per Container is 50m, but request is 10m`, []string{own}, []string{`For "cpu"`}},
		"a policy on all the pod":  {`pods "x" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: set the label team`, []string{template}, []string{"operator's own"}},
		"another unit of the same": {`pods "x" is forbidden: minimum memory usage per Container is 128Mi, but request is 67108864`, []string{own}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			said := WayOut(c.message, pod)
			for _, part := range c.says {
				g.Expect(said).To(ContainSubstring(part))
			}
			for _, part := range c.not {
				g.Expect(said).NotTo(ContainSubstring(part))
			}
		})
	}
}

// TestRefusedWrapperContainerIsNamed: a LimitRange refuses the pod of a Job whose spec the cache
// has trimmed.
func TestRefusedWrapperContainerIsNamed(t *testing.T) {
	g := NewWithT(t)
	const message = `Error creating: pods "build-1-1-x7k2p" is forbidden: minimum cpu usage per Container is 50m, but request is 10m`
	e := evidence(jobMade(-DefaultGracePeriods.Admission), nil, said("Job/build-1-1", "FailedCreate", message))
	g.Expect(NeedsTemplate(e)).To(BeTrue())
	e.Template = &corev1.PodSpec{InitContainers: []corev1.Container{sized(podcontract.ContainerFetch, "10m", "1", "", "")}}
	g.Expect(NeedsTemplate(e)).To(BeFalse())
	g.Expect(Observe(e).Failure.Message).To(ContainSubstring("For the operator's own codepipeline-fetch: correct them in spec.runner.resources"))

	e.Job = jobMade(-2 * slowPod)
	g.Expect(Observe(e).Waiting.Message()).To(ContainSubstring("For the operator's own codepipeline-fetch: correct them in spec.runner.resources"))
	e = evidence(jobMade(-DefaultGracePeriods.Admission), nil, said("Job/build-1-1", "FailedCreate", `pods "x" is forbidden: no`))
	g.Expect(NeedsTemplate(e)).To(BeFalse(), "it would cost a request")
}
