package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
)

// placeholder is the image in config/manager. No registry can have it: the top-level domain
// "invalid" is never delegated (RFC 6761, section 6.4).
const placeholder = "image.invalid/pipelinejob-operator"

// rendered returns the output of kubectl for a kustomization.
func rendered(g *WithT, folder string) string {
	content, err := build(folder)
	g.Expect(err).NotTo(HaveOccurred())
	return string(content)
}

// withImage writes an overlay of config/default that only sets the image.
func withImage(t *testing.T, g *WithT, name, tag string) (folder string) {
	folder, err := filepath.EvalSymlinks(t.TempDir())
	g.Expect(err).NotTo(HaveOccurred())
	base, err := filepath.Abs("../../config/default")
	g.Expect(err).NotTo(HaveOccurred())
	relative, err := filepath.Rel(folder, base) // resources must have relative paths
	g.Expect(err).NotTo(HaveOccurred())
	content := fmt.Sprintf("resources: [%s]\nimages:\n- {name: %s, newName: %s, newTag: %s}\n", relative, placeholder, name, tag)
	g.Expect(os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(content), 0o600)).To(Succeed())
	return folder
}

// objectIn reads an object by kind and name from a stream of YAML.
func objectIn(g *WithT, stream, kind, name string, into client.Object) {
	for document := range strings.SplitSeq(stream, "\n---\n") {
		var head struct {
			metav1.TypeMeta   `json:",inline"`
			metav1.ObjectMeta `json:"metadata"`
		}
		g.Expect(yaml.Unmarshal([]byte(document), &head)).To(Succeed())
		if head.Kind == kind && head.Name == name {
			g.Expect(yaml.UnmarshalStrict([]byte(document), into)).To(Succeed())
			return
		}
	}
	g.ExpectWithOffset(1, false).To(BeTrue(), "there is no %s %s", kind, name)
}

const operatorName = "pipelinejob-operator"

func TestImageThatIsNotSetCantBePulled(t *testing.T) {
	g := NewWithT(t)
	base := rendered(g, "../../config/default")
	g.Expect(strings.Count(base, placeholder)).To(Equal(1), "it is set in one place")
	deployment := &appsv1.Deployment{}
	objectIn(g, base, "Deployment", operatorName, deployment)
	g.Expect(deployment.Spec.Template.Spec.Containers).To(ConsistOf(HaveField("Image", HavePrefix(placeholder+":"))))
	g.Expect(rendered(g, "../../config/local")).NotTo(ContainSubstring(placeholder), "the local cluster has the image")
}

// TestImageOfAKustomizationIsThatOfJobsPods sets the image as described in docs/install.md. The
// operator reads its own image with the rights of config/rbac.
func TestImageOfAKustomizationIsThatOfJobsPods(t *testing.T) {
	w := newWorld(t)
	const image = "registry.example.com/pipelinejob-operator"
	overlay := rendered(w.WithT, withImage(t, w.WithT, image, "v1"))
	w.Expect(overlay).NotTo(ContainSubstring(placeholder))
	deployment := &appsv1.Deployment{}
	objectIn(w.WithT, overlay, "Deployment", operatorName, deployment)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pipelinejob-operator-1", Namespace: w.Namespace}, Spec: deployment.Spec.Template.Spec}
	pod.Spec.ServiceAccountName = "" // the namespace has no service account
	w.Expect(w.Kube.Create(w.Ctx, pod)).To(Succeed())
	self := &corev1.ObjectReference{Namespace: pod.Namespace, Name: pod.Name}

	reader := w.withoutRights("operator-" + w.Namespace)
	_, err := operator.RunnerImage(w.Ctx, reader, self)
	w.Expect(err).To(MatchError(And(ContainSubstring("is forbidden"), ContainSubstring("or set --runner-image"))))

	role := &rbacv1.Role{}
	objectIn(w.WithT, overlay, "Role", operatorName, role)
	role.Namespace = w.Namespace
	w.Expect(w.Kube.Create(w.Ctx, role)).To(Succeed())
	w.Expect(w.Kube.Create(w.Ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name, Namespace: w.Namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "operator-" + w.Namespace}},
	})).To(Succeed())
	w.Await(func(g Gomega) { // the authorizer may not see the binding yet
		found, err := operator.RunnerImage(w.Ctx, reader, self)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found).To(Equal(image + ":v1"))
	})
}

// withoutRights returns a client for a user without any rights.
func (w *world) withoutRights(user string) client.Client {
	w.T.Helper()
	config := rest.CopyConfig(w.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	return w.clientOf(config)
}
