package operator

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ownPod is a reader that returns the operator's own pod.
type ownPod struct {
	client.Reader
	pod *corev1.Pod
	err error
}

func (o ownPod) Get(ctx context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if _, bounded := ctx.Deadline(); !bounded {
		return errors.New("the call has no deadline")
	}
	if o.err != nil {
		return o.err
	}
	o.pod.DeepCopyInto(into.(*corev1.Pod)) //nolint:forcetypeassert // the only kind that is read
	return nil
}

func TestRunnerImage(t *testing.T) {
	self := &corev1.ObjectReference{Namespace: "pipelinejob-system", Name: "pipelinejob-operator-5d7c-x2x9k"}
	pods := schema.GroupResource{Resource: "pods"}
	podOf := func(containers ...corev1.Container) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: self.Namespace, Name: self.Name},
			Spec:       corev1.PodSpec{InitContainers: []corev1.Container{{Name: "mesh-init", Image: "mesh:1"}}, Containers: containers},
		}
	}
	proxy, manager := corev1.Container{Name: "proxy", Image: "mesh:1"}, corev1.Container{Name: "manager", Image: "registry.example.com/operator@sha256:ab"}
	for name, c := range map[string]struct {
		self *corev1.ObjectReference
		pod  *corev1.Pod
		err  error
		want string
		says []string
	}{
		"its own":                       {self, podOf(manager), nil, manager.Image, nil},
		"a webhook adds a container":    {self, podOf(proxy, manager), nil, manager.Image, nil},
		"one container of another name": {self, podOf(corev1.Container{Name: "operator", Image: "operator:2"}), nil, "operator:2", nil},
		"several, none of the name": {self, podOf(proxy, corev1.Container{Name: "operator"}), nil, "",
			[]string{"pipelinejob-system/pipelinejob-operator-5d7c-x2x9k has the containers proxy, operator, and none is named manager", "or set --runner-image"}},
		"no pod": {nil, nil, nil, "", []string{"--runner-image is missing: set it to the operator's image"}},
		"not allowed": {self, nil, apierrors.NewForbidden(pods, self.Name, errors.New("no rule")), "",
			[]string{"read the operator's own pod pipelinejob-system/pipelinejob-operator-5d7c-x2x9k", "to get pods in its own namespace", "or set --runner-image"}},
		"another name":     {self, nil, apierrors.NewNotFound(pods, self.Name), "", []string{"set $POD_NAME and $POD_NAMESPACE", "or set --runner-image"}},
		"no answer at all": {self, nil, errors.New("connection refused"), "", []string{"connection refused; make the API server reachable, or set --runner-image"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			image, err := RunnerImage(t.Context(), ownPod{pod: c.pod, err: c.err}, c.self)
			g.Expect(image).To(Equal(c.want))
			if c.says == nil {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			for _, says := range c.says {
				g.Expect(err).To(MatchError(ContainSubstring(says)))
			}
		})
	}
}
