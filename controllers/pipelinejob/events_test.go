package pipelinejob

import (
	"context"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
)

func TestPodNames(t *testing.T) {
	g := NewWithT(t)
	pod := func(name string, age time.Duration) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(noon.Add(-age))}}
	}
	said := func(message string, age time.Duration) diagnosis.Event {
		return diagnosis.Event{Object: "Job/work-1-1", Message: message, Last: noon.Add(-age)}
	}
	g.Expect(podNames(nil, nil)).To(BeEmpty())
	g.Expect(podNames([]corev1.Pod{pod("old", time.Hour), pod("new", 0)},
		[]diagnosis.Event{said("Created pod: older", 2*time.Hour), said("Created pod: new", 0), said("Deleted pod: gone", time.Hour), said("Job was active longer than specified deadline", 0)})).
		To(Equal([]string{"new", "old", "gone", "older"}))
	var many []corev1.Pod
	for i := range 20 {
		many = append(many, pod(fmt.Sprintf("pod-%d", i), time.Duration(i)*time.Minute))
	}
	g.Expect(podNames(many, nil)).To(Equal([]string{"pod-0", "pod-1", "pod-2", "pod-3", "pod-4"}))
}

// TestEventsOfARunAreBounded has a namespace with more events than are read, of the run's Job
// and of other objects. Each list must select one object, and must be limited.
func TestEventsOfARunAreBounded(t *testing.T) {
	w := newWorld(t)
	emit := func(name, kind, object, message string) {
		now := metav1.Now()
		w.Expect(w.Kube.Create(w.Ctx, &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.Namespace}, FirstTimestamp: now, LastTimestamp: now, Message: message,
			InvolvedObject: corev1.ObjectReference{Kind: kind, Namespace: w.Namespace, Name: object},
		})).To(Succeed())
	}
	for i := range eventsPerPage + 1 {
		emit(fmt.Sprintf("job-%03d", i), "Job", "work-1-1", "refused")
	}
	emit("made", "Job", "work-1-1", "Created pod: work-1-1-gone")
	emit("pod", "Pod", "work-1-1-here", "here")
	emit("gone", "Pod", "work-1-1-gone", "gone")
	emit("other", "Pod", "work-2-1-other", "other")

	lists := 0
	live, err := client.NewWithWatch(w.Config, client.Options{Scheme: w.Kube.Scheme()})
	w.Expect(err).NotTo(HaveOccurred())
	r := w.reconciler()
	r.Live = interceptor.NewClient(live, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			lists++
			var asked client.ListOptions
			asked.ApplyOptions(opts)
			w.Expect(asked.Limit).To(BeEquivalentTo(eventsPerPage))
			_, named := asked.FieldSelector.RequiresExactMatch("involvedObject.name")
			w.Expect(named).To(BeTrue(), "the list selects one object")
			return c.List(ctx, list, opts...)
		},
	})
	run := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "work-1-1", Namespace: w.Namespace}}
	found, err := r.eventsOfRun(w.Ctx, run, []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "work-1-1-here"}}})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(found).To(HaveLen(eventsPerPage + 4))
	w.Expect(found).To(ContainElements(HaveField("Message", "here"), HaveField("Message", "gone")))
	w.Expect(found).NotTo(ContainElement(HaveField("Message", "other")))
	w.Expect(lists).To(Equal(4), "two pages for the Job, and one for each pod")
}
