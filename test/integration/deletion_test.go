package integration

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
)

// TestDeletionWithoutAWS deletes a PipelineJob while CodePipeline accepts no result. The object is
// gone within minutes, and an event in the operator's namespace says what was not reported to
// CodePipeline.
func TestDeletionWithoutAWS(t *testing.T) {
	w := newWorld(t)
	own := w.runAsPod()
	w.work()
	w.RunningJob(1)
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "PutJobFailureResult", Kind: emulator.ServerError, Probability: 1})).To(Succeed())
	pj := w.PipelineJob(w)
	w.Expect(w.Kube.Delete(w.Ctx, pj)).To(Succeed())
	w.Await(func(g Gomega) {
		call := w.PipelineJob(g).Status.Protocol.Call
		g.Expect(call).NotTo(BeNil())
		g.Expect(call.Tries).To(BeNumerically(">=", 2), "it is tried, and tried again")
	})
	w.Clock.Step(6 * time.Minute)
	w.Await(func(g Gomega) {
		g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(pj), pj))).To(BeTrue())
		var list eventsv1.EventList
		g.Expect(w.Kube.List(w.Ctx, &list, client.InNamespace(own))).To(Succeed())
		g.Expect(list.Items).To(ContainElement(And(
			HaveField("Reason", v1alpha1.ReasonNotReported), HaveField("Regarding.Name", "manager-1"),
			HaveField("Note", ContainSubstring("PipelineJob "+w.Namespace+"/"+pj.Name+": ")),
			HaveField("Note", ContainSubstring("the failure of job")))))
		g.Expect(w.Jobs(g)).To(BeEmpty())
	})
	families, err := ctrlmetrics.Registry.Gather()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(families).To(ContainElement(And(
		HaveField("GetName()", "pipelinejob_deleted_unreported_total"), HaveField("GetMetric()", ContainElement(HaveField("GetCounter().GetValue()", BeNumerically(">=", 1)))))))
}

// runAsPod makes the operator run as the pod "manager-1" of a new namespace.
func (w *world) runAsPod() (namespace string) {
	own := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "operator-"}}
	w.Expect(w.Kube.Create(w.Ctx, own)).To(Succeed())
	w.adjust = append(w.adjust, func(o *operator.Options) {
		o.Self = &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: own.Name, Name: "manager-1"}
	})
	return own.Name
}
