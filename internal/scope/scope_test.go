package scope

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"
)

// cluster returns a client that answers access reviews. denied returns the rights, such as "list
// pods", that the operator lacks in each namespace.
func cluster(denied func() []string, namespaces ...string) *fake.Clientset {
	kube := fake.NewClientset()
	for _, name := range namespaces {
		_ = kube.Tracker().Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}) // into an empty tracker
	}
	kube.PrependReactor("create", "selfsubjectaccessreviews", func(action kubetesting.Action) (bool, runtime.Object, error) {
		review := action.(kubetesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
		asked := review.Spec.ResourceAttributes
		right := Right{asked.Group, asked.Resource, asked.Subresource, asked.Verb}.String()
		review.Status.Allowed = true
		for _, no := range denied() {
			if no == right || no == asked.Namespace {
				review.Status.Allowed = false
			}
		}
		return true, review, nil
	})
	return kube
}

func always(denied ...string) func() []string { return func() []string { return denied } }

func TestExamine(t *testing.T) {
	for name, c := range map[string]struct {
		denied  []string
		names   []string
		open    []string
		waiting map[string]string
	}{
		"no names are all namespaces":    {names: nil},
		"all rights":                     {names: []string{"a", "b"}, open: []string{"a", "b"}},
		"a namespace that is not there":  {names: []string{"a", "later"}, open: []string{"a"}, waiting: map[string]string{"later": "the namespace does not exist"}},
		"a right that is missing in all": {denied: []string{"list pods"}, names: []string{"a"}, waiting: map[string]string{"a": "the operator's service account lacks permissions in it: list pods"}},
		"rights of subresources": {denied: []string{"create jobs.batch", "patch pipelinejobs.codepipeline.pipelinejob.dev --subresource=status"}, names: []string{"b"},
			waiting: map[string]string{"b": "the operator's service account lacks permissions in it: patch pipelinejobs.codepipeline.pipelinejob.dev --subresource=status, create jobs.batch"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			found, err := Examine(t.Context(), cluster(always(c.denied...), "a", "b"), c.names)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found.Open).To(Equal(c.open))
			g.Expect(found.Waiting).To(HaveLen(len(c.waiting)))
			for name, obstacle := range c.waiting {
				g.Expect(found.Waiting).To(HaveKeyWithValue(name, obstacle))
			}
			g.Expect(found.All()).To(Equal(len(c.names) == 0))
		})
	}
}

// TestCacheIsNeverWidened: a cache without namespaces would include all of them.
func TestCacheIsNeverWidened(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Scope{}.Cached()).To(BeEmpty())
	g.Expect(Scope{Open: []string{"a"}, Waiting: map[string]string{"b": "?"}}.Cached()).To(Equal([]string{"a"}))
	g.Expect(Scope{Waiting: map[string]string{"c": "?", "b": "?"}}.Cached()).To(Equal([]string{"b", "c"}))
}

func TestNamespaceThatMayNotBeRead(t *testing.T) {
	g := NewWithT(t)
	kube := cluster(always())
	kube.PrependReactor("get", "namespaces", func(kubetesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "namespaces"}, "a", errors.New("no"))
	})
	found, err := Examine(t.Context(), kube, []string{"a"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found.Open).To(Equal([]string{"a"}))
}

func TestAPIServerThatDoesNotAnswer(t *testing.T) {
	g := NewWithT(t)
	kube := cluster(always(), "a")
	kube.PrependReactor("create", "selfsubjectaccessreviews", func(kubetesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("no answer")
	})
	_, err := Examine(t.Context(), kube, []string{"a"})
	g.Expect(err).To(MatchError("examine the namespace a of --namespaces: check the permission to list customactions.codepipeline.pipelinejob.dev: no answer"))
}

// TestNeededRightsAreGranted compares the examined rights with the installed Role.
func TestNeededRightsAreGranted(t *testing.T) {
	g := NewWithT(t)
	content, err := os.ReadFile(filepath.Join("..", "..", "config", "namespaced", "namespace", "role.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	var role rbacv1.Role
	g.Expect(yaml.UnmarshalStrict(content, &role)).To(Succeed())
	for _, right := range Needed() {
		resource := strings.TrimSuffix(right.Resource+"/"+right.Subresource, "/")
		g.Expect(role.Rules).To(ContainElement(SatisfyAll(
			HaveField("APIGroups", ContainElement(right.Group)), HaveField("Resources", ContainElement(resource)), HaveField("Verbs", ContainElement(right.Verb)),
		)), right.String())
	}
}

// TestNamespaceThatComesLater: a namespace gets its Role after the start. The operator restarts for
// it once, and not immediately.
func TestNamespaceThatComesLater(t *testing.T) {
	g := NewWithT(t)
	var log bytes.Buffer
	var denied atomic.Pointer[[]string]
	denied.Store(&[]string{"later"})
	restarted := make(chan struct{})
	clock := clocktesting.NewFakeClock(time.Now())
	w := &Waiter{
		Kube: cluster(func() []string { return *denied.Load() }, "later"), Clock: clock,
		Log:     funcr.New(func(_, args string) { log.WriteString(args + "\n") }, funcr.Options{}),
		Waiting: map[string]string{"later": "the namespace does not exist"}, Restart: func() { close(restarted) },
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Start(t.Context()) }()
	step := func() {
		g.Eventually(clock.HasWaiters).Should(BeTrue())
		clock.Step(checkInterval)
	}
	step()
	step()
	g.Eventually(clock.HasWaiters).Should(BeTrue()) // the first check has ended
	g.Expect(log.String()).To(And(ContainSubstring("the namespace does not exist"), ContainSubstring("lacks permissions in it: list customactions")))
	g.Expect(strings.Count(log.String(), "lacks permissions")).To(Equal(1), "an obstacle is told once")

	denied.Store(&[]string{})
	for passed := 2 * checkInterval; passed < leastRun; passed += checkInterval {
		g.Expect(restarted).NotTo(BeClosed(), "after %s", passed)
		step()
	}
	g.Eventually(restarted).Should(BeClosed())
	g.Expect(<-ended).To(Succeed())
}

func TestWaiterEndsWithTheOperator(t *testing.T) {
	g := NewWithT(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := &Waiter{Kube: cluster(always()), Clock: clocktesting.NewFakeClock(time.Now()), Waiting: map[string]string{"a": "?"}}
	g.Expect(w.Start(ctx)).To(Succeed())
	g.Expect(w.NeedLeaderElection()).To(BeFalse(), "a standby has a cache, too")
}
