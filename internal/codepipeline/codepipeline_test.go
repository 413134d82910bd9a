package codepipeline

import (
	"context"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

func TestCut(t *testing.T) {
	cases := map[string]struct {
		text  string
		limit int
		want  string
	}{
		"under the limit":          {"abc", 4, "abc"},
		"at the limit":             {"abcd", 4, "abcd"},
		"one over":                 {"abcde", 4, "abc…"},
		"characters are not bytes": {"äöüß", 4, "äöüß"},
		"cut between characters":   {"äöüßä", 4, "äöü…"},
		"not UTF-8":                {"a\xffb", 4, "a\uFFFDb"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(limits.Cut(c.text, c.limit)).To(Equal(c.want))
		})
	}
}

// TestKindOf checks the client's kind for each error response.
func TestKindOf(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{})
	client := testClient(t, server.URL())
	const unknown = "00000000-0000-0000-0000-000000000000"

	faults := map[emulator.FaultKind]Kind{
		emulator.Throttle: Throttled, emulator.ServerError: Unclear, emulator.ServerErrorAfter: JobNotFound,
		emulator.ResetBefore: Unclear, emulator.ResetAfter: Unclear,
	}
	for fault, want := range faults {
		g.Expect(server.Inject(emulator.Fault{Operation: "AcknowledgeJob", Kind: fault})).To(Succeed())
		before := len(server.Journal())
		_, err := client.AcknowledgeJob(t.Context(), unknown, "1")
		g.Expect(KindOf(err)).To(Equal(want), "%s: %v", fault, err)
		g.Expect(len(server.Journal())-before).To(Equal(1), "%s: a claim is tried once", fault)
	}
	_, err := client.AcknowledgeJob(t.Context(), unknown, "1")
	g.Expect(KindOf(err)).To(Equal(JobNotFound))
	_, err = client.AcknowledgeJob(t.Context(), "not an ID", "1")
	g.Expect(KindOf(err)).To(Equal(Refused))
	_, err = client.PollForJobs(t.Context(), ActionTypeID{"Test", "p", "1"}, nil, 1)
	g.Expect(KindOf(err)).To(Equal(ActionTypeNotFound))

	g.Expect(server.Close()).To(Succeed())
	_, err = client.AcknowledgeJob(t.Context(), unknown, "1")
	g.Expect(KindOf(err)).To(Equal(Unclear), "nobody listens")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.AcknowledgeJob(cancelled, unknown, "1")
	g.Expect(KindOf(err)).To(Equal(Throttled), "it was never sent")
}

func TestMissingCredentialsAreSaidBeforeACall(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{})
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_ENDPOINT_URL", server.URL())
	client, err := NewClients(ClientsOptions{}).For(t.Context(), Identity{Region: "us-east-1"})
	g.Expect(err).NotTo(HaveOccurred())
	_, err = client.AcknowledgeJob(t.Context(), "00000000-0000-0000-0000-000000000000", "1")
	g.Expect(KindOf(err)).To(Equal(AccessDenied))
	g.Expect(server.Journal()).To(BeEmpty())
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	g := NewWithT(t)
	job := Job{Credentials: Credentials{SecretAccessKey: "hunter2"}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		g.Expect(fmt.Sprintf(format, job.Credentials)).NotTo(ContainSubstring("hunter2"), format)
	}
}

func TestClientsAreKeptByIdentity(t *testing.T) {
	g := NewWithT(t)
	clients := NewClients(ClientsOptions{})
	first, err := clients.For(t.Context(), Identity{Region: "us-east-1"})
	g.Expect(err).NotTo(HaveOccurred())
	again, err := clients.For(t.Context(), Identity{Region: "us-east-1"})
	g.Expect(err).NotTo(HaveOccurred())
	other, err := clients.For(t.Context(), Identity{Region: "eu-west-1"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again).To(BeIdenticalTo(first))
	g.Expect(other).NotTo(BeIdenticalTo(first))
}

func TestTextsWithinLimits(t *testing.T) {
	g := NewWithT(t)
	success := Success{Summary: strings.Repeat("x", limits.Summary+1), ExternalExecutionID: strings.Repeat("x", limits.ExternalExecutionID+1)}.withinLimits()
	g.Expect([]rune(success.Summary)).To(HaveLen(limits.Summary))
	g.Expect([]rune(success.ExternalExecutionID)).To(HaveLen(limits.ExternalExecutionID))
	failure := Failure{Message: strings.Repeat("x", limits.FailureMessage+1)}.withinLimits()
	g.Expect([]rune(failure.Message)).To(HaveLen(limits.FailureMessage))
}

func testClient(t *testing.T, url string) *Client {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_ENDPOINT_URL", url)
	client, err := NewClients(ClientsOptions{}).For(t.Context(), Identity{Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	return client
}
