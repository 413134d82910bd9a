package codepipeline

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// forAWhile is far longer than the timeouts of these tests.
const forAWhile = 30 * time.Second

// bounds has timeouts of which only one ends a call without a response.
var bounds = map[string]Timeouts{
	"a call": {Attempt: time.Hour, Call: 500 * time.Millisecond},
	"a try":  {Attempt: 200 * time.Millisecond, Call: time.Hour},
}

// bounded returns a client of an endpoint, with the environment's credentials unless load options
// set others.
func bounded(t *testing.T, id Identity, timeouts Timeouts, load ...LoadOption) *Client {
	t.Helper()
	client, err := NewClients(ClientsOptions{Timeouts: timeouts}, load...).For(t.Context(), id)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return client
}

func anyKey(url string) []LoadOption {
	return []LoadOption{config.WithBaseEndpoint(url), config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("any", "any", ""))}
}

// ends expects an error in time, although the caller's context has no deadline.
func ends(t *testing.T, call func(context.Context) error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- call(context.WithoutCancel(t.Context())) }()
	var err error
	NewWithT(t).Eventually(done).WithTimeout(forAWhile).Should(Receive(&err))
	NewWithT(t).Expect(err).To(HaveOccurred())
	return err
}

// TestEachCallHasADeadline does not answer an operation at first. The same client works once it
// does.
func TestEachCallHasADeadline(t *testing.T) {
	for _, kind := range []emulator.FaultKind{emulator.BlackHole, emulator.HalfAnswer} {
		for operation, call := range calls {
			t.Run(string(kind)+" "+operation, func(t *testing.T) {
				t.Parallel()
				g := NewWithT(t)
				server := emulator.StartT(t, emulator.Options{})
				client := bounded(t, Identity{Region: "us-east-1"}, Timeouts{Attempt: 500 * time.Millisecond, Call: time.Second}, anyKey(server.URL())...)
				g.Expect(server.Inject(emulator.Fault{Operation: operation, Kind: kind, Probability: 1, Delay: 20 * time.Millisecond})).To(Succeed())
				err := ends(t, func(ctx context.Context) error { return call(ctx, client) })
				g.Expect(KindOf(err)).To(Equal(Unclear))
				g.Expect(err).To(MatchError(HaveSuffix(operation + ": no response in time")))
				server.ClearFaults()
				g.Eventually(func() Kind { return answered(call(t.Context(), client)) }).WithTimeout(forAWhile).ShouldNot(Equal(Unclear))
			})
		}
	}
}

// answered returns the kind of an error. Success has no kind.
func answered(err error) Kind {
	if err == nil {
		return Refused
	}
	return KindOf(err)
}

// TestHungAssumeRoleDoesNotStopAnAccount: STS does not respond for the role of one account. Its
// calls end, calls with another account succeed, and the first one recovers with STS.
func TestHungAssumeRoleDoesNotStopAnAccount(t *testing.T) {
	for name, timeouts := range bounds {
		t.Run("ended by the deadline of "+name, func(t *testing.T) {
			g := NewWithT(t)
			server := emulator.StartT(t, emulator.Options{})
			clients := NewClients(ClientsOptions{Timeouts: timeouts}, anyKey(server.URL())...)
			as := func(account string) *Client {
				client, err := clients.For(t.Context(), Identity{Region: "us-east-1", RoleARN: "arn:aws:iam::" + account + ":role/worker", ExternalID: "x"})
				g.Expect(err).NotTo(HaveOccurred())
				return client
			}
			g.Expect(server.Inject(emulator.Fault{Operation: "AssumeRole", AccountID: "444455556666", Kind: emulator.BlackHole, Probability: 1})).To(Succeed())
			hung := as("444455556666")
			expectNoCredentials(t, hung)
			g.Eventually(func() Kind { return KindOf(acknowledge(t, as("777788889999"))) }).WithTimeout(forAWhile).Should(Equal(JobNotFound), "another account")
			server.ClearFaults()
			g.Eventually(func() Kind { return KindOf(acknowledge(t, hung)) }).WithTimeout(forAWhile).Should(Equal(JobNotFound))
		})
	}
}

func acknowledge(t *testing.T, client *Client) error {
	return calls["AcknowledgeJob"](t.Context(), client)
}

// expectNoCredentials expects that a call ends before it is sent.
func expectNoCredentials(t *testing.T, client *Client) {
	t.Helper()
	g := NewWithT(t)
	err := ends(t, func(ctx context.Context) error { return calls["AcknowledgeJob"](ctx, client) })
	var missing *CredentialsError
	g.Expect(err).To(MatchError(ContainSubstring("no response in time")))
	g.Expect(errors.As(err, &missing)).To(BeTrue(), "%v", err)
	g.Expect(KindOf(err)).To(Equal(AccessDenied))
}

// environmentOf sets an environment with only the test's credentials.
func environmentOf(t *testing.T, variables map[string]string) {
	t.Helper()
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_ENDPOINT_URL"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	for name, value := range variables {
		t.Setenv(name, value)
	}
}

// TestHungIRSADoesNotStopTheOperator: STS does not respond for the operator's own role.
func TestHungIRSADoesNotStopTheOperator(t *testing.T) {
	for name, timeouts := range bounds {
		t.Run("ended by the deadline of "+name, func(t *testing.T) {
			g := NewWithT(t)
			server := emulator.StartT(t, emulator.Options{})
			token := filepath.Join(t.TempDir(), "token")
			g.Expect(os.WriteFile(token, []byte("token"), 0o600)).To(Succeed())
			environmentOf(t, map[string]string{
				"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/operator",
				"AWS_ENDPOINT_URL_STS": server.URL(), "AWS_ENDPOINT_URL_CODEPIPELINE": server.URL(),
			})
			g.Expect(server.Inject(emulator.Fault{Operation: "AssumeRoleWithWebIdentity", Kind: emulator.BlackHole, Probability: 1})).To(Succeed())
			client := bounded(t, Identity{Region: "us-east-1"}, timeouts)
			expectNoCredentials(t, client)
			server.ClearFaults()
			g.Eventually(func() Kind { return KindOf(acknowledge(t, client)) }).WithTimeout(forAWhile).Should(Equal(JobNotFound))
		})
	}
}

// TestHungProviderOfCredentials uses a provider that no timeout of the AWS clients ends, such as a
// credential_process.
func TestHungProviderOfCredentials(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{})
	begin := make(chan struct{})
	slow := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		<-begin
		return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
	})
	client := bounded(t, Identity{Region: "us-east-1"}, Timeouts{Call: 300 * time.Millisecond}, config.WithBaseEndpoint(server.URL()), config.WithCredentialsProvider(slow))
	expectNoCredentials(t, client)
	close(begin)
	g.Eventually(func() Kind { return KindOf(acknowledge(t, client)) }).WithTimeout(forAWhile).Should(Equal(JobNotFound))
}

// agent provides credentials like Pod Identity's agent and EC2's metadata service, or does not
// respond.
type agent struct {
	silent  atomic.Bool
	closing chan struct{}
}

func newAgent(t *testing.T) (a *agent, url string) {
	a = &agent{closing: make(chan struct{})}
	a.silent.Store(true)
	server := httptest.NewServer(a)
	t.Cleanup(func() {
		close(a.closing)
		server.Close()
	})
	return a, server.URL
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.silent.Load() {
		select {
		case <-r.Context().Done():
		case <-a.closing:
		}
		return
	}
	answer := fmt.Sprintf(`{"Code": "Success", "AccessKeyId": "any", "SecretAccessKey": "any", "Token": "any", "Expiration": %q}`,
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	switch r.URL.Path {
	case "/latest/api/token":
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
		answer = "token"
	case "/latest/meta-data/iam/security-credentials/", "/latest/meta-data/iam/security-credentials-extended/":
		answer = "node"
	}
	_, _ = io.WriteString(w, answer) // fails only if the client is gone
}

// TestHungCredentialsOfTheNodeDoNotStopTheOperator: Pod Identity's agent and EC2's metadata service
// do not respond.
func TestHungCredentialsOfTheNodeDoNotStopTheOperator(t *testing.T) {
	providers := map[string]func(url string) map[string]string{
		"Pod Identity": func(url string) map[string]string {
			return map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": url + "/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token"}
		},
		"EC2": func(url string) map[string]string {
			return map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": url, "AWS_EC2_METADATA_DISABLED": "false"}
		},
	}
	for provider, variables := range providers {
		for name, timeouts := range bounds {
			t.Run(provider+", ended by the deadline of "+name, func(t *testing.T) {
				g := NewWithT(t)
				server := emulator.StartT(t, emulator.Options{NoSignatures: true})
				a, url := newAgent(t)
				environmentOf(t, variables(url))
				client := bounded(t, Identity{Region: "us-east-1"}, timeouts, config.WithBaseEndpoint(server.URL()))
				expectNoCredentials(t, client)
				a.silent.Store(false)
				g.Eventually(func() Kind { return KindOf(acknowledge(t, client)) }).WithTimeout(forAWhile).Should(Equal(JobNotFound))
			})
		}
	}
}

// TestHungGetCallerIdentityHoldsUpNobody: STS does not respond to the first request for the
// account. Other callers wait only until their own contexts end.
func TestHungGetCallerIdentityHoldsUpNobody(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{})
	client := bounded(t, Identity{Region: "us-east-1"}, Timeouts{Attempt: 500 * time.Millisecond, Call: time.Second}, anyKey(server.URL())...)
	g.Expect(server.Inject(emulator.Fault{Operation: "GetCallerIdentity", Kind: emulator.BlackHole, Probability: 1})).To(Succeed())
	var both sync.WaitGroup
	both.Go(func() {
		_ = ends(t, func(ctx context.Context) error { // checks the error itself
			_, _, err := client.Account(ctx)
			return err
		})
	})
	g.Eventually(func() []emulator.Call { return server.Journal("GetCallerIdentity") }).WithTimeout(forAWhile).ShouldNot(BeEmpty())
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := client.Account(impatient)
	g.Expect(err).To(MatchError(context.Canceled))
	both.Wait()
	server.ClearFaults()
	g.Eventually(func() error { _, _, err := client.Account(t.Context()); return err }).WithTimeout(forAWhile).Should(Succeed())
}

// TestAccountIsAskedForOnce: the first caller gives up, and the others get the response.
func TestAccountIsAskedForOnce(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{})
	client := bounded(t, Identity{Region: "us-east-1"}, Timeouts{}, anyKey(server.URL())...)
	g.Expect(server.Inject(emulator.Fault{Operation: "GetCallerIdentity", Kind: emulator.Latency, Delay: 300 * time.Millisecond})).To(Succeed())
	ctx, giveUp := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, _, err := client.Account(ctx)
		first <- err
	}()
	g.Eventually(func() []emulator.Call { return server.Journal("GetCallerIdentity") }).WithTimeout(forAWhile).Should(HaveLen(1))
	giveUp()
	g.Eventually(first).WithTimeout(forAWhile).Should(Receive(MatchError(context.Canceled)))
	_, id, err := client.Account(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(id).To(Equal("111122223333"))
	g.Expect(server.Journal("GetCallerIdentity")).To(HaveLen(1))
}

// TestListsWithoutAnEndEnd uses a server that returns a next page for each page.
func TestListsWithoutAnEndEnd(t *testing.T) {
	for _, operation := range []string{"ListActionTypes", "ListActionExecutions", "ListTagsForResource"} {
		g := NewWithT(t)
		var pages atomic.Int32
		client := calledBy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			pages.Add(1)
			answer{http.StatusOK, map[string]string{"X-Amzn-RequestId": "1"}, `{"actionTypes": [], "actionExecutionDetails": [], "tags": [], "nextToken": "more"}`}.ServeHTTP(w, r)
		}))
		err := ends(t, func(ctx context.Context) error { return calls[operation](ctx, client) })
		g.Expect(err).To(MatchError(HaveSuffix("the list has more than 50 pages")))
		g.Expect(KindOf(err)).To(Equal(Unclear))
		g.Expect(pages.Load()).To(BeEquivalentTo(maxPages))
	}
}

// TestListHasADeadline: the timeout of each call is far longer than that of the list.
func TestListHasADeadline(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{})
	client := bounded(t, Identity{Region: "us-east-1"}, Timeouts{Attempt: time.Hour, Call: time.Hour, Listing: 300 * time.Millisecond}, anyKey(server.URL())...)
	g.Expect(server.Inject(emulator.Fault{Operation: "ListActionTypes", Kind: emulator.BlackHole, Probability: 1})).To(Succeed())
	err := ends(t, func(ctx context.Context) error { return calls["ListActionTypes"](ctx, client) })
	g.Expect(err).To(MatchError(ContainSubstring("no response in time")))
}

// TestClientsShareConnections compares the transports, which own the connections.
func TestClientsShareConnections(t *testing.T) {
	g := NewWithT(t)
	clients := NewClients(ClientsOptions{}, anyKey("http://127.0.0.1")...)
	queue, err := clients.Config(t.Context(), "eu-west-1", Timeouts{})
	g.Expect(err).NotTo(HaveOccurred())
	transport := queue.HTTPClient.(*http.Client).Transport
	g.Expect(transport).NotTo(BeNil())
	for _, id := range []Identity{{Region: "us-east-1"}, {Region: "us-east-1", RoleARN: "arn:aws:iam::111122223333:role/worker", ExternalID: "x"}, {Region: "eu-west-1"}} {
		client, err := clients.For(t.Context(), id)
		g.Expect(err).NotTo(HaveOccurred())
		for _, used := range []any{client.api.(*sdk.Client).Options().HTTPClient, client.account.callers.Options().HTTPClient} {
			g.Expect(used.(*http.Client).Transport).To(BeIdenticalTo(transport))
		}
	}
}

// TestCABundleIsUsed uses a certificate that is only in AWS_CA_BUNDLE.
func TestCABundleIsUsed(t *testing.T) {
	g := NewWithT(t)
	server := httptest.NewTLSServer(ofAWS(http.StatusBadRequest, "JobNotFoundException", "none"))
	defer server.Close()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	g.Expect(os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600)).To(Succeed())
	err := acknowledge(t, bounded(t, Identity{Region: "us-east-1"}, Timeouts{}, anyKey(server.URL)...))
	g.Expect(err).To(MatchError(ContainSubstring("certificate")))
	t.Setenv("AWS_CA_BUNDLE", bundle)
	err = acknowledge(t, bounded(t, Identity{Region: "us-east-1"}, Timeouts{}, anyKey(server.URL)...))
	g.Expect(KindOf(err)).To(Equal(JobNotFound), "%v", err)
	g.Expect(strings.Count(err.Error(), "JobNotFoundException")).To(Equal(1))
}
