package pipelinejob

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/plaintext"
)

func TestMasked(t *testing.T) {
	const key = "-----BEGIN KEY-----\nMIIEowIB\n{}\n-----END KEY-----\n"
	for name, c := range map[string]struct {
		text    string
		secrets []string
		want    string
	}{
		"no secrets":                         {"curl -u me:pass", nil, "curl -u me:pass"},
		"an empty secret":                    {"text", []string{"", "\n"}, "text"},
		"every occurrence":                   {"+ login hunter2\nhunter2 is wrong", []string{"hunter2"}, "+ login ***\n*** is wrong"},
		"several secrets":                    {"a=one b=two", []string{"one", "two"}, "a=*** b=***"},
		"one inside another":                 {"pass password", []string{"pass", "password"}, "*** ***"},
		"the same twice":                     {"hunter2", []string{"hunter2", "hunter2"}, "***"},
		"without its line break":             {"login hunter2 failed", []string{"hunter2\n"}, "login *** failed"},
		"a multi-line secret":                {"cat key\n" + key + "done", []string{key}, "cat key\n***done"},
		"some of its lines":                  {"…\nMIIEowIB\n{}\n-----END KEY-----\nexit", []string{key}, "…\n***\n{}\n***\nexit"},
		"CRLF line endings":                  {"line two\nend", []string{"line one\r\nline two\r\n"}, "***\nend"},
		"a short secret":                     {"x=7", []string{"7"}, "x=***"},
		"overlapping":                        {"x abcdefghij y", []string{"abc", "cdefghij"}, "x *** y"},
		"overlapping, one inside another":    {"hunter2hunter2", []string{"hunter2hunter", "hunter2"}, "***"},
		"overlapping itself":                 {"abababa!", []string{"aba"}, "***!"},
		"next to each other":                 {"onetwo", []string{"one", "two"}, "******"},
		"one starts with the end of another": {"aXbYYYYYYYY", []string{"aXb", "bYYYYYYYY"}, "***"},
		"some lines with CR line endings":    {"x line two", []string{"line one\rline two\r"}, "x ***"},
		"non-ASCII characters":               {"pässwörd!", []string{"pässwörd"}, "***!"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(masked(c.text, c.secrets)).To(Equal(c.want))
		})
	}
}

// TestMaskedWithoutControlCharacters masks secrets with control characters in a text from
// which plaintext.Of removed them, as explain does.
func TestMaskedWithoutControlCharacters(t *testing.T) {
	for _, secret := range []string{"hunter\x012", "correct\rhorse", "hunter\u00852", "a\x1b[1mhunter2", "hun\x7fter2", "hunter\x9b2", " \x07hunter2\n"} {
		t.Run(fmt.Sprintf("%q", secret), func(t *testing.T) {
			g := NewWithT(t)
			told := masked(plaintext.Of("+ curl -u user:"+secret+" host"), []string{secret})
			g.Expect(told).To(ContainSubstring(mask))
			for _, part := range []string{"hunter", "ter2", "correct", "horse"} {
				g.Expect(told).NotTo(ContainSubstring(part))
			}
		})
	}
}

// TestHalfASecretIsNotShown has a step with a termination message whose beginning the operator
// cuts off, as the kubelet may.
func TestHalfASecretIsNotShown(t *testing.T) {
	const secret = "0123456789abcdefghijklmnopqrstuvwxyz"
	job := &batchv1.Job{Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{
		{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonBackoffLimitExceeded},
	}}}
	for after := 4500; after < 5000; after++ {
		g := NewWithT(t)
		pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "build-1-1-x"}}
		pod.Status.Phase = corev1.PodFailed
		pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "unit", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 1, Reason: "Error", Message: "password " + secret + strings.Repeat("x", after),
		}}}}
		outcome := diagnosis.Observe(diagnosis.Evidence{Job: job, Pods: []corev1.Pod{pod}, Now: time.Now(), Secrets: true})
		g.Expect(outcome.Failure).NotTo(BeNil())
		g.Expect(outcome.Failure.Log).To(Equal(&diagnosis.StepLog{Pod: pod.Name, Container: "unit"}))
		told := withoutSecrets(outcome.Failure, "the log has "+secret, []string{secret})
		g.Expect(told).To(And(ContainSubstring(`step "unit" failed`), HaveSuffix("\nthe log has "+mask)))
		g.Expect(told).NotTo(ContainSubstring(secret[len(secret)-4:]))
	}
}

func TestTheTailOfALog(t *testing.T) {
	g := NewWithT(t)
	var short, long, line tail
	fmt.Fprint(&short, "one\n", "two\n")
	g.Expect(short.text()).To(Equal("one\ntwo\n"))
	for i := range 10_000 {
		fmt.Fprintf(&long, "line %d\n", i)
	}
	g.Expect(long.text()).To(And(HaveSuffix("line 9998\nline 9999\n"), HavePrefix("line ")))
	g.Expect(len(long.text())).To(BeNumerically("<=", lastLogBytes))
	fmt.Fprint(&line, strings.Repeat("secret", lastLogBytes))
	g.Expect(line.text()).To(BeEmpty(), "it has no complete line")
}
