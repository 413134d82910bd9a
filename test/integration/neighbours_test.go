package integration

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestNeighbourIsNotHeldUp: hundreds of claims of a namespace wait in a lane with five calls per
// second when a neighbour's pipeline is started. The neighbour's job is claimed, run and reported
// long before them.
func TestNeighbourIsNotHeldUp(t *testing.T) {
	const many = 300
	w := newWorld(t)
	hostile := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "hostile-"}}
	w.Expect(w.Kube.Create(w.Ctx, hostile)).To(Succeed())
	w.neighbours = []string{hostile.Name}
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		names := &account.Spec.Grants[0].Namespaces.Names
		*names = append(*names, hostile.Name)
	})
	w.Expect(w.Kube.Create(w.Ctx, w.Action(w.in(hostile.Name), func(a *v1alpha1.CustomAction) { a.Spec.ActionType.Provider = "hostile" }))).To(Succeed())
	for n := range many {
		job := w.polledJob("us-east-1", n)
		job.Namespace = hostile.Name
		w.Expect(w.Kube.Create(w.Ctx, job)).To(Succeed())
	}
	w.adjust = append(w.adjust, func(o *operator.Options) { o.LaneOptions.Ceiling = 5 })
	claims := func() (theirs int) {
		for _, call := range w.AWS.Journal("AcknowledgeJob") {
			if strings.Contains(string(call.Request), `"00000000-0000-4000-8000-`) {
				theirs++
			}
		}
		return theirs
	}
	w.operate()
	w.Await(func(g Gomega) { g.Expect(claims()).NotTo(BeZero(), "they wait") })
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.awaitRegistration()
	w.StartPipeline(map[string]string{"Target": "all"})
	w.Await(func(g Gomega) { g.Expect(w.Jobs(g)).To(HaveLen(1)) })
	w.Expect(claims()).To(BeNumerically("<", many/2), fmt.Sprintf("%d of theirs were to be first", many))
	w.Succeed(w.RunningJob(1), podcontract.Result{})
	w.Await(func(g Gomega) { g.Expect(w.Calls("PutJobSuccessResult")).To(Equal(1)) })
	w.Expect(claims()).To(BeNumerically("<", many))
}
