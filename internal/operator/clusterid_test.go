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
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func TestClusterID(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "namespaces"}, "kube-system", errors.New("no"))
	for name, c := range map[string]struct {
		set string
		// answers are the errors of the first reads. Later reads succeed.
		answers  []error
		want, is string
	}{
		"set":                     {"production", []error{forbidden}, "production", ""},
		"by default":              {"", nil, "the-uid", ""},
		"of a server that starts": {"", []error{apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "kube-system")}, "the-uid", ""},
		"without the permission":  {"", []error{forbidden}, "", "read the namespace kube-system, whose UID is the default of --cluster-id: "},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			left := c.answers
			system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "the-uid"}}
			reader := interceptor.NewClient(fake.NewClientBuilder().WithObjects(system).Build(), interceptor.Funcs{
				Get: func(ctx context.Context, next client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption) error {
					if len(left) > 0 {
						defer func() { left = left[1:] }()
						return left[0]
					}
					return next.Get(ctx, key, object, o...)
				},
			})
			got, err := clusterID(t.Context(), c.set, reader)
			g.Expect(got).To(Equal(c.want))
			if c.is == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(And(ContainSubstring(c.is), ContainSubstring("get namespaces, or set --cluster-id"))))
		})
	}
}

// TestClusterIDIsNotWaitedForWithoutEnd stops the operator while it waits.
func TestClusterIDIsNotWaitedForWithoutEnd(t *testing.T) {
	g := NewWithT(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := clusterID(ctx, "", fake.NewClientBuilder().Build())
	g.Expect(err).To(MatchError(ContainSubstring("set --cluster-id")))
}
