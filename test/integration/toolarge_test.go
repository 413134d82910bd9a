package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/bounds"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// withScript sets a script of this size, in bytes.
func withScript(size int) func(*v1alpha1.CustomAction) {
	return func(action *v1alpha1.CustomAction) {
		action.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = []string{strings.Repeat("x", size)}
	}
}

// inCache returns the CustomActions as in the operator's cache.
func (w *world) inCache() []v1alpha1.CustomAction {
	options, err := operator.CacheOptions()
	w.Expect(err).NotTo(HaveOccurred())
	options.Scheme, err = operator.NewScheme()
	w.Expect(err).NotTo(HaveOccurred())
	options.DefaultNamespaces = map[string]cache.Config{w.Namespace: {}}
	cached, err := cache.New(w.Config, options)
	w.Expect(err).NotTo(HaveOccurred())
	go func() { _ = cached.Start(w.Ctx) }()
	w.Expect(cached.WaitForCacheSync(w.Ctx)).To(BeTrue())
	var actions v1alpha1.CustomActionList
	w.Expect(cached.List(w.Ctx, &actions)).To(Succeed())
	return actions.Items
}

// TestLargeActionsBesideASmallOne: a namespace has 60 CustomActions of 1 MB each. The operator
// keeps little of them in memory, reports the reason, does not poll for them, and runs jobs of the
// small one.
func TestLargeActionsBesideASmallOne(t *testing.T) {
	const count, size = 20, 1 << 20
	w := newWorld(t)
	for i := range count {
		w.Expect(w.Kube.Create(w.Ctx, w.Action(withScript(size), func(a *v1alpha1.CustomAction) {
			a.Name, a.Spec.ActionType.Provider = fmt.Sprint("large-", i), fmt.Sprint("large-", i)
			a.Annotations = map[string]string{"notes": strings.Repeat("x", 200<<10)}
		}))).To(Succeed())
	}
	w.work()
	w.Succeed(w.RunningJob(1), podcontract.Result{})
	w.Await(func(g Gomega) { g.Expect(w.Calls("PutJobSuccessResult")).To(Equal(1)) })

	for i := range count {
		message := w.readyReason(fmt.Sprint("large-", i), v1alpha1.ReasonTooLarge)
		w.Expect(message).To(MatchRegexp(`^spec has 1,04\d,\d{3} bytes of JSON, and may have 65,536 at most, because .*\. Put scripts and files into an image, or into a ConfigMap`))
	}
	w.Expect(w.AWS.Journal("PollForJobs")).NotTo(ContainElement(HaveField("Request", ContainSubstring("large-"))))
	w.Expect(w.AWS.Journal("CreateCustomActionType")).NotTo(ContainElement(HaveField("Request", ContainSubstring("large-"))))

	kept := w.inCache()
	w.Expect(kept).To(HaveLen(count + 1))
	for i := range kept {
		content, err := json.Marshal(kept[i])
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(len(content)).To(BeNumerically("<", 8<<10), kept[i].Name)
		w.Expect(bounds.Memory(&kept[i])).To(BeNumerically("<", 16<<10), kept[i].Name)
	}
}

// TestActionThatBecomesTooLarge: meanwhile, a job runs and another one is handed out. Then the
// object becomes smaller again.
func TestActionThatBecomesTooLarge(t *testing.T) {
	w := newWorld(t)
	w.work()
	run := w.RunningJob(1)
	w.change(withScript(limits.ActionSpec))
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonTooLarge)).To(ContainSubstring("may have 65,536 at most"))
	w.Succeed(run, podcontract.Result{})
	w.Await(func(g Gomega) { g.Expect(w.Calls("PutJobSuccessResult")).To(Equal(1)) })

	w.change(withScript(1 << 10))
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	action := &v1alpha1.CustomAction{}
	w.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: "work"}, action)).To(Succeed())
	w.Expect(action.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args[0]).To(HaveLen(1<<10), "no write has lost anything")
	w.Expect(action.Annotations).To(BeEmpty(), "what is on an object of the cache is there alone")
}

// TestTooManyFinalizers uses more finalizers than the operator's cache keeps. The operator loses
// none when it adds and removes its own.
func TestTooManyFinalizers(t *testing.T) {
	w := newWorld(t)
	var others []string
	for i := range 500 {
		others = append(others, fmt.Sprintf("example.com/finalizer-%d", i))
	}
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) { a.Finalizers = others }))).To(Succeed())
	w.operate()
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	action := &v1alpha1.CustomAction{}
	read := func() []string {
		w.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: "work"}, action)).To(Succeed())
		return action.Finalizers
	}
	w.Expect(read()).To(ConsistOf(append([]string{v1alpha1.FinalizerCustomAction}, others...)))
	w.Expect(w.Kube.Delete(w.Ctx, action)).To(Succeed())
	w.Await(func(g Gomega) {
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: "work"}, action)).To(Succeed())
		g.Expect(action.Finalizers).To(ConsistOf(others))
	})
	action.Finalizers = nil
	w.Expect(w.Kube.Update(w.Ctx, action)).To(Succeed())
}
