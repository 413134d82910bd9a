package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/test/needs"
)

// control runs Kubernetes controllers until the test ends.
func (w *world) control(controllers string) {
	w.T.Helper()
	program := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kube-controller-manager")
	needs.Program(w.T, program)
	folder := w.T.TempDir()
	kubeconfig := filepath.Join(folder, "kubeconfig")
	w.Expect(clientcmd.WriteToFile(kubeconfigOf(w.Config), kubeconfig)).To(Succeed())
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Ctx))
	manager := exec.CommandContext(ctx, program, //nolint:gosec // the program of the tests
		"--kubeconfig="+kubeconfig, "--controllers="+controllers, "--leader-elect=false", "--secure-port=0")
	w.Expect(manager.Start()).To(Succeed())
	w.T.Cleanup(func() {
		cancel()
		_ = manager.Wait() // it was killed
	})
}

func kubeconfigOf(config *rest.Config) clientcmdapi.Config {
	return clientcmdapi.Config{
		CurrentContext: "test",
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test"}},
		Clusters:       map[string]*clientcmdapi.Cluster{"test": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"test": {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}},
	}
}

// grantedBy returns the verbs that a role grants on a resource in the test's namespace, to a user
// without other roles.
func (w *world) grantedBy(g Gomega, role, resource string) (verbs []string) {
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role, Namespace: w.Namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "with-" + role}},
	}
	g.Expect(client.IgnoreAlreadyExists(w.Kube.Create(w.Ctx, binding))).To(Succeed())
	for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"} {
		review := &authorizationv1.SubjectAccessReview{}
		review.Spec.User = binding.Subjects[0].Name
		review.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
			Namespace: w.Namespace, Group: v1alpha1.GroupVersion.Group, Resource: resource, Verb: verb,
		}
		g.Expect(w.Kube.Create(w.Ctx, review)).To(Succeed())
		if review.Status.Allowed {
			verbs = append(verbs, verb)
		}
	}
	return verbs
}

// TestRolesOfUsers checks in the API server what each role grants, after Kubernetes' controller has
// aggregated the built-in ones.
func TestRolesOfUsers(t *testing.T) {
	w := newWorld(t)
	w.install()
	w.control("clusterrole-aggregation-controller")
	read, write, remove := []string{"get", "list", "watch"}, []string{"create", "update", "patch"}, []string{"delete", "deletecollection"}
	for role, c := range map[string]struct{ customActions, pipelineJobs []string }{
		"view":  {read, nil},
		"edit":  {read, nil},
		"admin": {read, nil},
		"pipelinejob-operator-customaction-viewer":   {read, nil},
		"pipelinejob-operator-customaction-editor":   {slices.Concat(read, write, remove), nil},
		"pipelinejob-operator-pipelinejob-viewer":    {nil, read},
		"pipelinejob-operator-pipelinejob-canceller": {nil, slices.Concat(read, remove)},
	} {
		t.Run(role, func(t *testing.T) {
			w.Await(func(g Gomega) { g.Expect(w.grantedBy(g, role, "customactions")).To(Equal(c.customActions)) })
			g := NewWithT(t)
			g.Expect(w.grantedBy(g, role, "pipelinejobs")).To(Equal(c.pipelineJobs))
			for _, resource := range []string{"customactions/status", "customactions/finalizers", "pipelinejobs/status", "pipelinejobs/finalizers"} {
				g.Expect(w.grantedBy(g, role, resource)).To(BeEmpty(), resource)
			}
		})
	}
}

// TestPoliciesHaveNoWarnings lets Kubernetes' controller check the types in expressions.
func TestPoliciesHaveNoWarnings(t *testing.T) {
	w := newWorld(t)
	w.install()
	w.control("validatingadmissionpolicy-status-controller")
	for _, name := range []string{"pipelinejob-operator-writes", "pipelinejob-operator-records"} {
		policy := &admissionv1.ValidatingAdmissionPolicy{}
		w.Await(func(g Gomega) {
			g.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Name: name}, policy)).To(Succeed())
			g.Expect(policy.Status.ObservedGeneration).To(Equal(policy.Generation))
			g.Expect(policy.Status.TypeChecking).NotTo(BeNil())
		})
		w.Expect(policy.Status.TypeChecking.ExpressionWarnings).To(BeEmpty())
	}
}
