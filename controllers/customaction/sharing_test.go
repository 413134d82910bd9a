package customaction

import (
	"context"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// TestWhoGoesBefore has a team's CustomAction look for those that go before it. An older one of
// another team counts only if it may take jobs and, for a creation, may create the action type.
func TestWhoGoesBefore(t *testing.T) {
	grant := func(change func(*v1alpha1.Grant)) func(*v1alpha1.CodePipelineAccount) {
		return func(account *v1alpha1.CodePipelineAccount) {
			theirs := v1alpha1.Grant{Namespaces: v1alpha1.GrantedNamespaces{Names: []string{"foe"}}}
			change(&theirs)
			account.Spec.Grants = append(account.Spec.Grants, theirs)
		}
	}
	plain, registers := grant(func(*v1alpha1.Grant) {}), grant(func(g *v1alpha1.Grant) { g.MayRegister = true })
	says := func(reason string) func(*v1alpha1.CustomAction) {
		return func(a *v1alpha1.CustomAction) {
			a.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason}}
		}
	}
	external := func(a *v1alpha1.CustomAction) { a.Spec.Registration = v1alpha1.RegistrationExternal }
	changed := func(a *v1alpha1.CustomAction) { a.Generation++ }
	foreign := &examined{accountID: "111122223333", region: "us-east-1", foreign: true}
	for name, c := range map[string]struct {
		grant  func(*v1alpha1.CodePipelineAccount)
		change []func(*v1alpha1.CustomAction)
		found  *examined // in an earlier version of the other one
		before string    // for what the other one goes before this one
	}{
		"new":                                  {registers, nil, nil, "jobs, creation"},
		"without the right to register":        {plain, nil, nil, "jobs"},
		"one that registers nothing":           {registers, []func(*v1alpha1.CustomAction){external}, nil, "jobs"},
		"the tags name another team's":         {registers, []func(*v1alpha1.CustomAction){says(v1alpha1.ReasonActionTypeTaken)}, foreign, ""},
		"and it has been changed since":        {registers, []func(*v1alpha1.CustomAction){says(v1alpha1.ReasonActionTypeTaken), changed}, foreign, ""},
		"they named another team's elsewhere":  {registers, nil, &examined{accountID: "111122223333", region: "eu-west-1", foreign: true}, "jobs, creation"},
		"another one of the team has the jobs": {registers, []func(*v1alpha1.CustomAction){says(v1alpha1.ReasonActionTypeTaken)}, nil, "jobs, creation"},
		"its template is too large":            {registers, []func(*v1alpha1.CustomAction){says(v1alpha1.ReasonTooLarge)}, nil, ""},
		"the cluster refuses its Jobs":         {registers, []func(*v1alpha1.CustomAction){says(v1alpha1.ReasonJobRefused)}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g, ctx := NewWithT(t), t.Context()
			scheme := runtime.NewScheme()
			g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
			g.Expect(corev1.AddToScheme(scheme)).To(Succeed())
			account := harness.NewAccount("team", c.grant)
			harness.InUse(account, "team", "foe")
			aged := func(uid string, age time.Duration) func(*v1alpha1.CustomAction) {
				return func(a *v1alpha1.CustomAction) {
					a.UID, a.CreationTimestamp = types.UID(uid), metav1.NewTime(time.Now().Add(-age))
					a.Spec.AccountRef.Name, a.Spec.Registration = "team", v1alpha1.RegistrationManaged
				}
			}
			mine := harness.NewAction("team", aged("mine", time.Minute))
			other := harness.NewAction("foe", append([]func(*v1alpha1.CustomAction){aged("other", time.Hour)}, c.change...)...)
			kube := fake.NewClientBuilder().WithScheme(scheme).WithObjects(account, mine, other).
				WithIndex(&v1alpha1.PipelineJob{}, poller.IndexMayBeHandedOut, poller.ByActionOfHandOut).
				WithIndex(&v1alpha1.CustomAction{}, indexActionType, indexByActionType).Build()
			r := &Reconciler{Client: kube, Clock: clocktesting.NewFakePassiveClock(time.Now()), Poller: &poller.Poller{}}
			if c.found != nil {
				examined := other.DeepCopy()
				examined.Generation = 0
				r.examinations.record(examined, time.Now(), time.Now(), *c.found)
			}
			allowed, err := r.accessOf(ctx, mine)
			g.Expect(err).NotTo(HaveOccurred())
			var before []string
			for _, what := range []string{"jobs", "creation"} {
				counts := func(other standing) bool { return what == "jobs" || other.creates }
				taken, err := r.takenBefore(ctx, standing{CustomAction: mine}, placeOf(mine, allowed), counts)
				g.Expect(err).NotTo(HaveOccurred())
				if taken.err != nil {
					before = append(before, what)
				}
			}
			g.Expect(strings.Join(before, ", ")).To(Equal(c.before))
		})
	}
}

// TestLookingForOthersCopiesNone: each worker may look for them at a time, among any number of
// objects that are as large as they may be.
func TestLookingForOthersCopiesNone(t *testing.T) {
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	lists := 0
	kube := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		List: func(_ context.Context, _ client.WithWatch, _ client.ObjectList, options ...client.ListOption) error {
			made := (&client.ListOptions{}).ApplyOptions(options)
			g.Expect(made.UnsafeDisableDeepCopy).NotTo(BeNil())
			g.Expect(*made.UnsafeDisableDeepCopy).To(BeTrue())
			lists++
			return nil
		},
	}).Build()
	r := &Reconciler{Client: kube}
	_, err := r.sharing(t.Context(), harness.NewAction("team"), func(place) bool { return true })
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(lists).To(Equal(1))
}
