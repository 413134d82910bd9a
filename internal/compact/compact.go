// Package compact lets a cache keep the Jobs and pods of runs in less memory. There are thousands
// of them, and most of a corev1.Pod or batchv1.Job is fields that the operator does not keep.
package compact

import (
	"slices"
	"unique"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// form is the compact form of an object in a cache. Event handlers and index functions get the form
// itself, and can read only its metadata.
type form interface {
	client.Object
	// whole returns the object. It shares pointers, slices and maps with the form.
	whole() client.Object
}

// Of returns what a cache keeps of an object: the compact form of a pod or Job, and any other
// object unchanged. The form has exactly the fields that diagnosis.Trim leaves.
func Of(object any) any {
	switch object := object.(type) {
	case *corev1.Pod:
		return podOf(object)
	case *batchv1.Job:
		return jobOf(object)
	default:
		return object
	}
}

// whole returns the object of a form, and anything else unchanged.
func whole(object any) any {
	if form, ok := object.(form); ok {
		return form.whole()
	}
	return object
}

// meta is the metadata of a form.
type meta struct {
	metav1.ObjectMeta
	// label and value are the label, if there is only one: a map takes more memory than all other
	// metadata.
	label, value string
}

func metaOf(object metav1.ObjectMeta) meta {
	m := meta{ObjectMeta: object}
	Share(&m.Namespace)
	m.OwnerReferences = slices.Clone(m.OwnerReferences)
	for i := range m.OwnerReferences {
		owner := &m.OwnerReferences[i]
		Share(&owner.APIVersion, &owner.Kind)
		owner.Controller, owner.BlockOwnerDeletion = shared(owner.Controller), shared(owner.BlockOwnerDeletion)
	}
	if len(m.Labels) == 1 {
		for label, value := range m.Labels {
			m.label, m.value = label, value
		}
		Share(&m.label)
		m.Labels = nil
	}
	return m
}

// GetLabels implements metav1.Object.
func (m *meta) GetLabels() map[string]string {
	if m.label != "" {
		return map[string]string{m.label: m.value}
	}
	return m.Labels
}

func (m *meta) whole() metav1.ObjectMeta {
	object := m.ObjectMeta
	object.Labels = m.GetLabels()
	return object
}

// GetObjectKind implements runtime.Object. A form has no kind.
func (m *meta) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// pod is the form of a pod.
type pod struct {
	meta
	nodeName, schedulerName string
	phase                   corev1.PodPhase
	message, reason         string
	conditions              []corev1.PodCondition
	initContainers          []corev1.ContainerStatus
	containers              []corev1.ContainerStatus
	rare                    *rareInPod
}

// rareInPod has the fields that few pods set.
type rareInPod struct {
	gates                      []corev1.PodSchedulingGate
	initContainers, containers []corev1.Container
	resources, inUse           *corev1.ResourceRequirements
	volumes                    []corev1.Volume
}

func podOf(object *corev1.Pod) *pod {
	spec, status := &object.Spec, &object.Status
	p := &pod{
		meta: metaOf(object.ObjectMeta), nodeName: spec.NodeName, schedulerName: spec.SchedulerName,
		phase: status.Phase, message: status.Message, reason: status.Reason,
		conditions:     slices.Clone(status.Conditions),
		initContainers: sharing(status.InitContainerStatuses), containers: sharing(status.ContainerStatuses),
	}
	Share(&p.nodeName, &p.schedulerName)
	Share(&p.phase)
	for i := range p.conditions {
		condition := &p.conditions[i]
		Share(&condition.Type)
		Share(&condition.Status)
		Share(&condition.Reason)
	}
	rare := rareInPod{spec.SchedulingGates, spec.InitContainers, spec.Containers, spec.Resources, status.Resources, spec.Volumes}
	if len(rare.gates)+len(rare.initContainers)+len(rare.containers)+len(rare.volumes) > 0 || rare.resources != nil || rare.inUse != nil {
		p.rare = &rare
	}
	return p
}

func (p *pod) whole() client.Object {
	object := &corev1.Pod{ObjectMeta: p.meta.whole()}
	object.Spec.NodeName, object.Spec.SchedulerName = p.nodeName, p.schedulerName
	object.Status = corev1.PodStatus{
		Phase: p.phase, Message: p.message, Reason: p.reason, Conditions: p.conditions,
		InitContainerStatuses: p.initContainers, ContainerStatuses: p.containers,
	}
	if rare := p.rare; rare != nil {
		object.Spec.SchedulingGates, object.Spec.InitContainers, object.Spec.Containers = rare.gates, rare.initContainers, rare.containers
		object.Spec.Resources, object.Status.Resources = rare.resources, rare.inUse
		object.Spec.Volumes = rare.volumes
	}
	return object
}

// DeepCopyObject is that of runtime.Object.
func (p *pod) DeepCopyObject() runtime.Object {
	return podOf(p.whole().DeepCopyObject().(*corev1.Pod))
}

// sharing copies the statuses of containers into a slice without spare capacity, with shared
// strings.
func sharing(statuses []corev1.ContainerStatus) []corev1.ContainerStatus {
	statuses = slices.Clone(statuses)
	for i := range statuses {
		Share(&statuses[i].Name, &statuses[i].Image)
		statuses[i].Started = shared(statuses[i].Started)
	}
	return statuses
}

// job is the form of a Job.
type job struct {
	meta
	suspend        *bool
	activeDeadline *int64
	initContainers []corev1.Container
	status         batchv1.JobStatus
}

func jobOf(object *batchv1.Job) *job {
	j := &job{
		meta: metaOf(object.ObjectMeta), suspend: shared(object.Spec.Suspend), activeDeadline: object.Spec.ActiveDeadlineSeconds,
		initContainers: object.Spec.Template.Spec.InitContainers, status: object.Status,
	}
	j.status.Conditions = slices.Clone(j.status.Conditions)
	for i := range j.status.Conditions {
		condition := &j.status.Conditions[i]
		Share(&condition.Type)
		Share(&condition.Status)
		Share(&condition.Reason)
	}
	return j
}

func (j *job) whole() client.Object {
	object := &batchv1.Job{ObjectMeta: j.meta.whole(), Status: j.status}
	object.Spec.Suspend, object.Spec.ActiveDeadlineSeconds = j.suspend, j.activeDeadline
	object.Spec.Template.Spec.InitContainers = j.initContainers
	return object
}

// DeepCopyObject is that of runtime.Object.
func (j *job) DeepCopyObject() runtime.Object {
	return jobOf(j.whole().DeepCopyObject().(*batchv1.Job))
}

// Share deduplicates texts that many objects have in common.
func Share[T ~string](texts ...*T) {
	for _, text := range texts {
		if *text != "" {
			*text = unique.Make(*text).Value()
		}
	}
}

var yes, no = ptr.To(true), ptr.To(false)

// shared returns one of two shared pointers.
func shared(value *bool) *bool {
	switch {
	case value == nil:
		return nil
	case *value:
		return yes
	default:
		return no
	}
}
