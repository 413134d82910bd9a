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
		"none":                                     {"curl -u me:pass", nil, "curl -u me:pass"},
		"an empty one":                             {"text", []string{"", "\n"}, "text"},
		"each place":                               {"+ login hunter2\nhunter2 is wrong", []string{"hunter2"}, "+ login ***\n*** is wrong"},
		"of several":                               {"a=one b=two", []string{"one", "two"}, "a=*** b=***"},
		"one in another":                           {"pass password", []string{"pass", "password"}, "*** ***"},
		"the same twice":                           {"hunter2", []string{"hunter2", "hunter2"}, "***"},
		"without its line break":                   {"login hunter2 failed", []string{"hunter2\n"}, "login *** failed"},
		"of several lines":                         {"cat key\n" + key + "done", []string{key}, "cat key\n***done"},
		"of which some are shown":                  {"…\nMIIEowIB\n{}\n-----END KEY-----\nexit", []string{key}, "…\n***\n{}\n***\nexit"},
		"lines that end like DOS's":                {"line two\nend", []string{"line one\r\nline two\r\n"}, "***\nend"},
		"a short one":                              {"x=7", []string{"7"}, "x=***"},
		"overlapping":                              {"x abcdefghij y", []string{"abc", "cdefghij"}, "x *** y"},
		"overlapping, one in another":              {"hunter2hunter2", []string{"hunter2hunter", "hunter2"}, "***"},
		"overlapping itself":                       {"abababa!", []string{"aba"}, "***!"},
		"beside each other":                        {"onetwo", []string{"one", "two"}, "******"},
		"the end of one begins another":            {"aXbYYYYYYYY", []string{"aXb", "bYYYYYYYY"}, "***"},
		"some of lines that end like a terminal's": {"x line two", []string{"line one\rline two\r"}, "x ***"},
		"of other characters":                      {"pässwörd!", []string{"pässwörd"}, "***!"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(masked(c.text, c.secrets)).To(Equal(c.want))
		})
	}
}

// TestMaskedWithoutControlCharacters has secrets with control characters in a text that has
// been made plain, as explain does it.
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

// TestHalfASecretIsNotTold has a step that tells by its termination message, whose front the
// operator cuts off, as the kubelet may.
func TestHalfASecretIsNotTold(t *testing.T) {
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
	g.Expect(line.text()).To(BeEmpty(), "it has no whole line")
}
