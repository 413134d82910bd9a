//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestAttackMemory: a tenant tries to fill the operator's memory with CustomActions of 1 MB, and
// with pods that have the operator's label and thousands of sidecars. The operator is not killed,
// and runs a neighbour's job.
func TestAttackMemory(t *testing.T) {
	const actions, pods = 60, 20
	s := newSuite(t)
	s.install()
	s.connect()
	before := s.operatorRestarts()
	hostile := s.hostileTenant("e2e-attack-memory")
	for i := range actions {
		hostile.create(hostile.manifest(work{Name: fmt.Sprint("large-", i), Script: strings.Repeat("x", 1<<20)}))
	}
	for i := range pods {
		content, err := json.Marshal(podOfSidecars(hostile.namespace, i))
		s.Expect(err).NotTo(HaveOccurred())
		out, err := s.tryKubectl(string(content), append(hostile.as, "create", "-f", "-")...)
		s.Expect(err).NotTo(HaveOccurred(), out)
	}
	s.kubectl("-n", hostile.namespace, "wait", "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}="+v1alpha1.ReasonTooLarge,
		"--timeout=2m", "cpaction", "--all")

	w := work{Name: "attack-memory", Script: "true"}
	s.apply(w)
	execution := s.startWorks("attack-memory", w)
	s.Expect(s.ended("attack-memory", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))
	s.Expect(s.operatorRestarts()).To(Equal(before), "the operator was killed")
}

// podOfSidecars returns a pod that is never scheduled, with as many sidecars as fit into an object.
func podOfSidecars(namespace string, number int) *corev1.Pod {
	name := fmt.Sprint("forged-", number)
	pod := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{v1alpha1.LabelPipelineJob: name}},
		Spec:       corev1.PodSpec{SchedulingGates: []corev1.PodSchedulingGate{{Name: "example.com/never"}}, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	for i := range 3000 {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{
			Name: fmt.Sprint("s-", i), Image: "i", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways),
		})
	}
	return pod
}

// operatorRestarts returns the names of the operator's pods and their restart counts.
func (s *suite) operatorRestarts() string {
	s.t.Helper()
	return s.kubectl("-n", "pipelinejob-system", "get", "pods", "-l", "app.kubernetes.io/name=pipelinejob-operator",
		"-o", "jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].restartCount} {end}")
}
