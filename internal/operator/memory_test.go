package operator

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/bounds"
	"github.com/pipelinejob/pipelinejob-operator/internal/compact"
	"github.com/pipelinejob/pipelinejob-operator/internal/fairqueue"
)

// The largest objects that the API server accepts, in bytes of JSON: 1.5 MiB in etcd, and 256 KiB
// of annotations.
const (
	most            = 3 << 19
	mostAnnotations = 256 << 10
)

// large returns objects of a tenant, each with one field as large as possible.
func large() map[string]client.Object {
	text := strings.Repeat("x", most)
	long := func(kind string) metav1.ObjectMeta {
		meta := metav1.ObjectMeta{Namespace: "hostile", Name: "large", UID: "1"}
		switch kind {
		case "annotations":
			meta.Annotations = map[string]string{"notes": strings.Repeat("x", mostAnnotations), v1alpha1.AnnotationAbandoned: strings.Repeat("x", mostAnnotations)}
		case "labels":
			meta.Labels = map[string]string{v1alpha1.LabelPipelineJob: "large"}
			for i := range most / 80 {
				meta.Labels[fmt.Sprint("label-", i)] = strings.Repeat("x", 63)
			}
		case "finalizers":
			for i := range most / 40 {
				meta.Finalizers = append(meta.Finalizers, fmt.Sprintf("example.com/a-finalizer-of-many-%d", i))
			}
		case "owners":
			for i := range most / 90 {
				meta.OwnerReferences = append(meta.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: fmt.Sprint(i), UID: "2"})
			}
		case "managed fields":
			meta.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", FieldsV1: metav1.NewFieldsV1(text)}}
		}
		return meta
	}
	all := map[string]client.Object{}
	for _, kind := range []string{"annotations", "labels", "finalizers", "owners", "managed fields"} {
		all["CustomAction with "+kind] = &v1alpha1.CustomAction{ObjectMeta: long(kind)}
		all["PipelineJob with "+kind] = &v1alpha1.PipelineJob{ObjectMeta: long(kind)}
		all["pod with "+kind] = &corev1.Pod{ObjectMeta: long(kind)}
		all["Job with "+kind] = &batchv1.Job{ObjectMeta: long(kind)}
	}
	action := func(change func(*corev1.PodSpec)) *v1alpha1.CustomAction {
		made := &v1alpha1.CustomAction{ObjectMeta: long("")}
		pod := &made.Spec.JobTemplate.Spec.Template.Spec
		pod.Containers = []corev1.Container{{Name: "step", Image: "busybox"}}
		change(pod)
		return made
	}
	all["CustomAction with a script"] = action(func(pod *corev1.PodSpec) { pod.Containers[0].Args = []string{text} })
	all["CustomAction with many containers"] = action(func(pod *corev1.PodSpec) { pod.Containers = containers(64<<10/14, nil) })
	all["CustomAction with many tolerations"] = action(func(pod *corev1.PodSpec) { pod.Tolerations = make([]corev1.Toleration, 64<<10/3) })
	all["CustomAction with a large runner"] = &v1alpha1.CustomAction{ObjectMeta: long(""), Spec: v1alpha1.CustomActionSpec{
		Runner: &v1alpha1.Runner{Env: []corev1.EnvVar{{Name: "A", Value: text}}},
	}}
	job := func(change func(*v1alpha1.PipelineJob)) *v1alpha1.PipelineJob {
		made := &v1alpha1.PipelineJob{ObjectMeta: long("")}
		made.Spec.ActionRef.Name, made.Spec.CodePipelineJob.ID = "work", "1"
		change(made)
		return made
	}
	all["PipelineJob with configuration"] = job(func(job *v1alpha1.PipelineJob) { job.Spec.Configuration = map[string]string{"a": text} })
	all["PipelineJob with a name"] = job(func(job *v1alpha1.PipelineJob) { job.Spec.Pipeline.Name = text })
	all["PipelineJob with an action's name"] = job(func(job *v1alpha1.PipelineJob) { job.Spec.ActionRef.Name = text })
	all["PipelineJob with artifacts"] = job(func(job *v1alpha1.PipelineJob) { job.Spec.InputArtifacts = make([]v1alpha1.Artifact, most/20) })
	all["PipelineJob with a result"] = job(func(job *v1alpha1.PipelineJob) {
		job.Status.FailureDetails = &v1alpha1.FailureDetails{Message: text}
	})
	all["settled PipelineJob"] = job(func(job *v1alpha1.PipelineJob) { job.Status.ContinuationToken = text; job.Settle(metav1.Now()) })
	all["pod with sidecars"] = &corev1.Pod{ObjectMeta: long(""), Spec: corev1.PodSpec{InitContainers: containers(most/50, ptr.To(corev1.ContainerRestartPolicyAlways))}}
	all["pod with a message"] = &corev1.Pod{ObjectMeta: long(""), Status: corev1.PodStatus{Message: text}}
	all["pod with conditions"] = &corev1.Pod{ObjectMeta: long(""), Status: corev1.PodStatus{Conditions: make([]corev1.PodCondition, most/30)}}
	all["pod with gates"] = &corev1.Pod{ObjectMeta: long(""), Spec: corev1.PodSpec{SchedulingGates: make([]corev1.PodSchedulingGate, most/15)}}
	sidecars := &batchv1.Job{ObjectMeta: long("")}
	sidecars.Spec.Template.Spec.InitContainers = containers(most/50, ptr.To(corev1.ContainerRestartPolicyAlways))
	all["Job with sidecars"] = sidecars
	return all
}

func containers(count int, policy *corev1.ContainerRestartPolicy) []corev1.Container {
	made := make([]corev1.Container, count)
	for i := range made {
		made[i].Name, made[i].RestartPolicy = fmt.Sprint(i), policy
	}
	return made
}

// TestNoObjectIsLargeInTheCache measures what a cache keeps of the largest objects that a tenant
// can create.
func TestNoObjectIsLargeInTheCache(t *testing.T) {
	options, err := CacheOptions()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	transforms := map[string]toolscache.TransformFunc{"": options.DefaultTransform}
	for of, by := range options.ByObject {
		transforms[fmt.Sprintf("%T", of)] = by.Transform
	}
	for name, object := range large() {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			transform := transforms[fmt.Sprintf("%T", object)]
			if transform == nil {
				transform = transforms[""]
			}
			g.Expect(bounds.Memory(object)).To(BeNumerically(">", bounds.Object), "it is large")
			kept, err := transform(object)
			g.Expect(err).NotTo(HaveOccurred())
			again, err := transform(kept)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(again).To(Equal(kept), "a cache transforms some objects again")

			informer := compact.NewInformer(&toolscache.ListWatch{}, object, 0, toolscache.Indexers{})
			g.Expect(informer.GetStore().Add(kept)).To(Succeed())
			found, _, err := informer.GetStore().GetByKey("hostile/large")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(bounds.Memory(kept)).To(BeNumerically("<=", bounds.Object))
			content, err := json.Marshal(found)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(len(content)).To(BeNumerically("<=", bounds.Object))
			g.Expect(found.(client.Object).GetUID()).To(BeEquivalentTo("1"))
		})
	}
}

// TestControllersServeNamespacesInTurns: both controllers use package fairqueue.
func TestControllersServeNamespacesInTurns(t *testing.T) {
	g := NewWithT(t)
	options := controllerOptions(0)
	made := options.NewQueue("test", options.RateLimiter)
	defer made.ShutDown()
	g.Expect(made).To(BeAssignableToTypeOf(fairqueue.Queue{}))
}
