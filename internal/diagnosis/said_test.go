package diagnosis

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

func TestWaitForAStartupProbeIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		running time.Duration
		said    string
	}{
		"a moment": {time.Second, ""},
		"long":     {time.Hour, `sidecar "db" has not passed its startup probe`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			e := evidence(jobMade(-c.running), since(-c.running, scheduledOn("node-a", -c.running), withSidecar(), waitingFor("unit", "PodInitializing", "")))
			pod := &e.Pods[0]
			db := corev1.ContainerStatus{Name: "db", Started: ptr.To(false), State: corev1.ContainerState{
				Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now.Add(-c.running))},
			}}
			others := pod.Status.InitContainerStatuses
			pod.Status.InitContainerStatuses = []corev1.ContainerStatus{db}
			for _, other := range others {
				if other.Name != db.Name {
					pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, other)
				}
			}
			o := observeTrimmed(e)
			if c.said == "" {
				g.Expect(o.Waiting).To(BeNil())
				g.Expect(o.Recheck).To(BeNumerically(">", 0))
				return
			}
			g.Expect(o.Waiting).NotTo(BeNil())
			g.Expect(o.Waiting.Message()).To(ContainSubstring(c.said))
		})
	}
}

func TestPodThatDoesNotEndIsSaid(t *testing.T) {
	g := NewWithT(t)
	e := evidence(jobMade(-time.Hour), since(-time.Hour, scheduledOn("node-a", -time.Hour)))
	e.Pods[0].DeletionTimestamp = ptr.To(metav1.NewTime(now.Add(-9 * time.Minute)))
	o := observeTrimmed(e)
	g.Expect(o.Waiting).NotTo(BeNil())
	g.Expect(o.Waiting.Message()).To(ContainSubstring("node node-a has not reported that it has ended"))
}

func TestLongMessageIsSaidOnce(t *testing.T) {
	g := NewWithT(t)
	w := Waiting{Reason: v1alpha1.ReasonPodPending, Subject: strings.Repeat("s", 9000)}
	g.Expect(w.SaidBy(w.Reason, w.Message())).To(BeTrue())
	g.Expect(w.SaidBy(w.Reason, "something else")).To(BeFalse())
}

// TestWhatTheKubeletQuotesIsLeftOut: the kubelet quotes a path with the value of a secret property.
func TestWhatTheKubeletQuotesIsLeftOut(t *testing.T) {
	const secret = "hunter2"
	message := "failed to prepare subPath for volumeMount: subPath `/" + secret + "` must not be an absolute path"
	for name, secrets := range map[string]bool{"a job with secrets": true, "a job without": false} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			e := evidence(jobMade(-time.Minute), since(-time.Minute, scheduledOn("node-a", -time.Minute), waitingFor("unit", "CreateContainerConfigError", message)))
			e.Secrets = secrets
			o := observeTrimmed(e)
			g.Expect(o.Waiting).NotTo(BeNil())
			g.Expect(o.Waiting.Message()).To(ContainSubstring("CreateContainerConfigError"))
			g.Expect(strings.Contains(o.Waiting.Message(), secret)).To(Equal(!secrets))
		})
	}
}
