package poller

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	sdktypes "github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

// station is a poller with an emulated AWS and a clock that the test moves.
type station struct {
	*WithT
	aws    *emulator.Server
	clock  *clocktesting.FakeClock
	poller *Poller
}

func newStation(t *testing.T) *station {
	s := &station{WithT: NewWithT(t), clock: clocktesting.NewFakeClock(time.Now())}
	s.aws = emulator.StartT(t, emulator.Options{})
	load := []func(*config.LoadOptions) error{
		config.WithBaseEndpoint(s.aws.URL()), config.WithRegion("us-east-1"),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")),
	}
	cfg, err := config.LoadDefaultConfig(t.Context(), load...)
	s.Expect(err).NotTo(HaveOccurred())
	none := &sdktypes.ArtifactDetails{}
	_, err = sdk.NewFromConfig(cfg).CreateCustomActionType(t.Context(), &sdk.CreateCustomActionTypeInput{
		Category: "Test", Provider: aws.String("work"), Version: aws.String("1"), InputArtifactDetails: none, OutputArtifactDetails: none,
	})
	s.Expect(err).NotTo(HaveOccurred())
	scheme := runtime.NewScheme()
	s.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	kube := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&v1alpha1.PipelineJob{}, IndexInFlight, IndexByAction).Build()
	s.poller = &Poller{
		Client: kube, Live: kube, AWS: codepipeline.NewClients(codepipeline.ClientsOptions{}, load...), Clock: s.clock, Log: logr.Discard(),
		Polled: func(types.NamespacedName, int, error) {}, Changed: func(types.NamespacedName) {},
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- s.poller.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		s.Expect(<-stopped).To(Succeed())
	})
	return s
}

func (s *station) polls() int {
	count := 0
	for _, call := range s.aws.Journal() {
		if call.Operation == "PollForJobs" {
			count++
		}
	}
	return count
}

// pass lets time go by, a second at a time, while the loops wait for it.
func (s *station) pass(d time.Duration) {
	for range int(d / time.Second) {
		s.Eventually(s.clock.HasWaiters).WithTimeout(10 * time.Second).WithPolling(time.Millisecond).Should(BeTrue())
		s.clock.Step(time.Second)
	}
	s.Eventually(s.clock.HasWaiters).WithTimeout(10 * time.Second).WithPolling(time.Millisecond).Should(BeTrue())
}

func TestIdleActionCostsOnePollAnInterval(t *testing.T) {
	const interval, span = 30 * time.Second, 10 * time.Minute
	s := newStation(t)
	s.poller.Ensure(Target{
		Action: types.NamespacedName{Namespace: "team", Name: "work"}, Identity: codepipeline.Identity{Region: "us-east-1"},
		Type:     codepipeline.ActionTypeID{Category: "Test", Provider: "work", Version: "1"},
		Interval: interval, MaxConcurrent: 10,
	})
	s.pass(span)
	s.Expect(s.polls()).To(And(BeNumerically(">=", int(span/interval)-1), BeNumerically("<=", int(span/interval)+1)))
}
