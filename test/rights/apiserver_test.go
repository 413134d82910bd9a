package rights

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// TestLogOfAnAPIServer: with the local cluster's audit policy, a real API server logs only requests
// of the operator's user.
func TestLogOfAnAPIServer(t *testing.T) {
	g := NewWithT(t)
	g.Expect(os.Getenv("KUBEBUILDER_ASSETS")).NotTo(BeEmpty(), "run 'make test-unit', or set it to bin/k8s")
	policy, err := filepath.Abs(filepath.Join("..", "..", "hack", "cluster", "templates", "audit-policy.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	log := filepath.Join(t.TempDir(), "audit.log")
	environment := &envtest.Environment{}
	environment.ControlPlane.GetAPIServer().Configure().Set("audit-policy-file", policy).Set("audit-log-path", log)
	admin, err := environment.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(environment.Stop()).To(Succeed()) })
	user, err := environment.AddUser(envtest.User{Name: Operator}, &rest.Config{UserAgent: Program + "v0.0.0"})
	g.Expect(err).NotTo(HaveOccurred())
	operator, others := kubernetes.NewForConfigOrDie(user.Config()), kubernetes.NewForConfigOrDie(admin)

	began := time.Now().Add(-time.Second) // the log has microseconds
	ctx := t.Context()
	_, err = others.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "operator"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"watch", "create"}}, {APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"list"}},
	}}, metav1.CreateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	_, err = others.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "operator"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "operator"}, Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: Operator}},
	}, metav1.CreateOptions{})
	g.Expect(err).NotTo(HaveOccurred())

	g.Eventually(func() error {
		_, err := operator.BatchV1().Jobs("default").List(ctx, metav1.ListOptions{})
		return err
	}).WithTimeout(time.Minute).Should(Succeed())
	watch, err := operator.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(watch.Stop)
	_, err = operator.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "Invalid"}}, metav1.CreateOptions{})
	g.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "it was let in: %v", err)
	_, err = operator.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
	g.Expect(apierrors.IsForbidden(err)).To(BeTrue())

	g.Eventually(func(g Gomega) {
		content, err := os.ReadFile(log)
		g.Expect(err).NotTo(HaveOccurred())
		requests, err := Requests(bytes.NewReader(content), began)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(bytes.Contains(content, []byte("clusterroles"))).To(BeFalse(), "the administrator's requests are not logged")
		g.Expect(requests).To(ContainElements(
			Request{Right{"batch", "jobs", "list"}, "/apis/batch/v1/namespaces/default/jobs", false},
			HaveField("Right", Right{"", "pods", "watch"}), // while the watch continues
			Request{Right{"", "pods", "create"}, "/api/v1/namespaces/default/pods", false},
			Request{Right{"", "secrets", "list"}, "/api/v1/namespaces/default/secrets", true},
		))
	}).WithTimeout(time.Minute).Should(Succeed())
}
