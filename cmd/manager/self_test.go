package main

import (
	"os"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

func TestOwnPod(t *testing.T) {
	host, err := os.Hostname()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for name, c := range map[string]struct {
		name, namespace string
		want            *corev1.ObjectReference
	}{
		"by the downward API": {"operator-1", "system", &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "system", Name: "operator-1"}},
		"the host's name":     {"", "system", &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "system", Name: host}},
		"outside a cluster":   {"", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("POD_NAME", c.name)
			t.Setenv("POD_NAMESPACE", c.namespace)
			NewWithT(t).Expect(self()).To(Equal(c.want))
		})
	}
}

// TestImageOfTheFlag: with the flag, no call is made, inside or outside of a cluster.
func TestImageOfTheFlag(t *testing.T) {
	o := options{runnerImage: "runner:1"}
	image, err := o.runnerImageOf(t.Context(), nil, nil)
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(image).To(Equal("runner:1"))
}
