package integration

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/internal/scope"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// The roles of an operator for some namespaces.
const (
	scopedClusterRole = "../../config/namespaced/cluster_role.yaml"
	scopedRole        = "../../config/namespaced/namespace/role.yaml"
)

// rulesOf returns the rules of the role in a file of the repository.
func (w *world) rulesOf(file string) []rbacv1.PolicyRule {
	w.T.Helper()
	content, err := os.ReadFile(file)
	w.Expect(err).NotTo(HaveOccurred())
	for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
		var role rbacv1.ClusterRole // a Role has the same rules
		w.Expect(yaml.Unmarshal(document, &role)).To(Succeed())
		if len(role.Rules) > 0 {
			return role.Rules
		}
	}
	w.T.Fatalf("%s has no rules", file)
	return nil
}

// user creates a service account without any rights in the test's namespace.
func (w *world) user(name string) rbacv1.Subject {
	w.T.Helper()
	w.Expect(w.Kube.Create(w.Ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.Namespace}})).To(Succeed())
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: w.Namespace}
}

// token returns a token of a service account.
func (w *world) token(of rbacv1.Subject) string {
	w.T.Helper()
	kube, err := kubernetes.NewForConfig(w.Config)
	w.Expect(err).NotTo(HaveOccurred())
	request, err := kube.CoreV1().ServiceAccounts(of.Namespace).CreateToken(w.Ctx, of.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
	return request.Status.Token
}

// withToken returns the access to the API server with a service account's token.
func (w *world) withToken(user rbacv1.Subject) *rest.Config {
	w.T.Helper()
	config := rest.AnonymousClientConfig(w.Config)
	config.BearerToken, config.QPS = w.token(user), -1
	return config
}

// allow grants a user rights in all namespaces, until the test ends.
func (w *world) allow(user rbacv1.Subject, rules []rbacv1.PolicyRule) {
	w.T.Helper()
	name := w.Namespace + "-" + user.Name
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: []rbacv1.Subject{user},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}}
	for _, object := range []client.Object{role, binding} {
		w.Expect(w.Kube.Create(w.Ctx, object)).To(Succeed())
		w.T.Cleanup(func() { _ = w.Kube.Delete(context.WithoutCancel(w.Ctx), object) })
	}
}

// allowIn grants a user rights in a namespace.
func (w *world) allowIn(namespace string, user rbacv1.Subject, rules []rbacv1.PolicyRule) {
	w.T.Helper()
	of := metav1.ObjectMeta{Name: user.Name, Namespace: namespace}
	w.Expect(w.Kube.Create(w.Ctx, &rbacv1.Role{ObjectMeta: of, Rules: rules})).To(Succeed())
	w.Expect(w.Kube.Create(w.Ctx, &rbacv1.RoleBinding{ObjectMeta: of, Subjects: []rbacv1.Subject{user},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user.Name}})).To(Succeed())
}

// examined waits until a user can work in the expected number of namespaces: new roles take effect
// after a moment.
func (w *world) examined(user *rest.Config, open int, names ...string) scope.Scope {
	w.T.Helper()
	kube, err := kubernetes.NewForConfig(user)
	w.Expect(err).NotTo(HaveOccurred())
	var found scope.Scope
	w.Await(func(g Gomega) {
		found, err = scope.Examine(w.Ctx, kube, names)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found.Open).To(HaveLen(open), "%v", found.Waiting)
	})
	return found
}

// operateIn starts an operator as a user in a scope, and returns a function that stops it.
func (w *world) operateIn(user *rest.Config, where scope.Scope, shown prometheus.Registerer) (stop func()) {
	w.T.Helper()
	scheme, err := operator.NewScheme()
	w.Expect(err).NotTo(HaveOccurred())
	cached, err := operator.CacheOptions(where.Cached()...)
	w.Expect(err).NotTo(HaveOccurred())
	mgr, err := ctrl.NewManager(user, ctrl.Options{
		Scheme: scheme, Cache: cached, Metrics: metricsserver.Options{BindAddress: operator.NoMetrics},
		Controller: crconfig.Controller{SkipNameValidation: ptr.To(true), RecoverPanic: ptr.To(false)},
	})
	w.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(w.Ctx)
	w.Expect(operator.Setup(ctx, mgr, operator.Options{
		Clock: w.Clock, JobOptions: jobspec.Options{RunnerImage: "operator:test"}, Logs: w.Logs, AWSConfig: w.Cloud(), ClusterID: "here",
		Metrics: shown, Scope: where, Restart: cancel,
	})).To(Succeed())
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		w.Expect(<-stopped).To(Succeed())
	})
	w.T.Cleanup(stop)
	return stop
}

// TestOperatorOfSomeNamespaces: the operator only has the rights of config/namespaced, with a Role
// in one namespace, and at first none in another.
func TestOperatorOfSomeNamespaces(t *testing.T) {
	w := newWorld(t)
	other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	w.Expect(w.Kube.Create(w.Ctx, other)).To(Succeed())
	user := w.user("operator")
	w.allow(user, w.rulesOf(scopedClusterRole))
	w.allowIn(w.Namespace, user, w.rulesOf(scopedRole))
	config := w.withToken(user)
	found := w.examined(config, 1, w.Namespace, other.Name, "not-there")
	w.Expect(found.Waiting).To(HaveKeyWithValue("not-there", "the namespace does not exist"))
	w.Expect(found.Waiting).To(HaveKeyWithValue(other.Name, HavePrefix("the operator's service account lacks permissions in it: list customactions.codepipeline.pipelinejob.dev, ")))

	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		names := &account.Spec.Grants[0].Namespaces.Names
		*names = append(*names, other.Name)
	})
	elsewhere := w.Action(w.in(other.Name), func(a *v1alpha1.CustomAction) { a.Spec.ActionType.Provider = "elsewhere" })
	w.Expect(w.Kube.Create(w.Ctx, elsewhere)).To(Succeed())
	stop := w.operateIn(config, found, prometheus.NewPedanticRegistry())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.StartPipeline(nil)
	w.Succeed(w.RunningJob(1), podcontract.Result{})
	w.Await(func(g Gomega) { g.Expect(w.PipelineJob(g).Status.Phase).To(Equal(v1alpha1.PhaseSucceeded)) })
	w.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(elsewhere), elsewhere)).To(Succeed())
	w.Expect(elsewhere.Status).To(Equal(v1alpha1.CustomActionStatus{}), "it is not seen")
	stop()

	w.allowIn(other.Name, user, w.rulesOf(scopedRole))
	found = w.examined(config, 2, w.Namespace, other.Name)
	inventory := prometheus.NewPedanticRegistry()
	w.operateIn(config, found, inventory)
	w.Await(func(g Gomega) {
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(elsewhere), elsewhere)).To(Succeed())
		g.Expect(meta.IsStatusConditionTrue(elsewhere.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())
	})
	w.Await(func(g Gomega) {
		w.expectReady(g, inventory, w.Namespace, other.Name)
	})
}

// expectReady expects the metric of a ready action for exactly these namespaces.
func (w *world) expectReady(g Gomega, from prometheus.Gatherer, namespaces ...string) {
	families, err := from.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	var seen []string
	for _, family := range families {
		if family.GetName() != "pipelinejob_custom_action_ready" {
			continue
		}
		for _, metric := range family.GetMetric() {
			g.Expect(metric.GetGauge().GetValue()).To(Equal(1.0))
			for _, label := range metric.GetLabel() {
				if label.GetName() == "namespace" {
					seen = append(seen, label.GetValue())
				}
			}
		}
	}
	g.Expect(seen).To(ConsistOf(namespaces))
}

// TestOperatorWithoutANamespace: the operator waits, and does not end, if it can't work in any
// namespace yet. A cache of all namespaces would never sync.
func TestOperatorWithoutANamespace(t *testing.T) {
	w := newWorld(t)
	user := w.user("operator")
	w.allow(user, w.rulesOf(scopedClusterRole))
	config := w.withToken(user)
	found := w.examined(config, 0, w.Namespace)
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	stop := w.operateIn(config, found, prometheus.NewPedanticRegistry())
	w.Consistently(func(g Gomega) {
		action := w.Action()
		g.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(action), action)).To(Succeed())
		g.Expect(action.Status).To(Equal(v1alpha1.CustomActionStatus{}))
	}).WithTimeout(2 * harness.Redispatch).Should(Succeed())
	stop() // it has run until now: stop expects no error
}

// TestRolesAreOfTheRightKind checks with the API server's discovery that the ClusterRole only has
// cluster-scoped resources, which a Role can't grant, and that the Role has all others.
func TestRolesAreOfTheRightKind(t *testing.T) {
	w := newWorld(t)
	for file, want := range map[string]meta.RESTScopeName{scopedClusterRole: meta.RESTScopeNameRoot, scopedRole: meta.RESTScopeNameNamespace} {
		for _, rule := range w.rulesOf(file) {
			for _, resource := range rule.Resources {
				resource, _, _ = strings.Cut(resource, "/")
				kind, err := w.Kube.RESTMapper().KindFor(schema.GroupVersionResource{Group: rule.APIGroups[0], Resource: resource})
				w.Expect(err).NotTo(HaveOccurred())
				mapping, err := w.Kube.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
				w.Expect(err).NotTo(HaveOccurred())
				w.Expect(mapping.Scope.Name()).To(Equal(want), "%s of %s in %s: see inNoNamespace in hack/roles", resource, rule.APIGroups[0], file)
			}
		}
	}
}
