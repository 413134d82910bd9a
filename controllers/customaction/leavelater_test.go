package customaction

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// TestPlaceIsLeftAfterTheCreationThere has an object move to a region that does not answer while a
// job is being recorded in the one before: it releases the jobs there once the job is recorded.
func TestPlaceIsLeftAfterTheCreationThere(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	cloud := emulator.StartT(t, emulator.Options{Buckets: []string{"source", "artifacts"}})
	load := []func(*config.LoadOptions) error{
		config.WithBaseEndpoint(cloud.URL()), config.WithRegion("us-east-1"),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")),
	}
	account := harness.NewAccount("team", func(a *v1alpha1.CodePipelineAccount) { a.Spec.Regions = []v1alpha1.Region{"us-east-1", "eu-west-1"} })
	harness.InUse(account, "team")
	action := harness.NewAction("team", func(a *v1alpha1.CustomAction) {
		a.UID, a.Finalizers, a.Spec.Region, a.Spec.Polling.MaxConcurrentJobs = "work", []string{v1alpha1.FinalizerCustomAction}, "us-east-1", 1
	})
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	g.Expect(corev1.AddToScheme(scheme)).To(Succeed())
	creating, create := make(chan struct{}), make(chan struct{})
	began := sync.OnceFunc(func() { close(creating) })
	kube := fake.NewClientBuilder().WithScheme(scheme).WithObjects(account, action).
		WithIndex(&v1alpha1.PipelineJob{}, poller.IndexMayBeHandedOut, poller.ByActionOfHandOut).
		WithIndex(&v1alpha1.CustomAction{}, indexActionType, indexByActionType).
		WithInterceptorFuncs(interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			began()
			<-create
			return nil
		}}).Build()
	clients := codepipeline.NewClients(codepipeline.ClientsOptions{}, load...)
	polls := &poller.Poller{Client: kube, Live: kube, AWS: clients, Lanes: lanes.New(lanes.Options{Clock: clock.RealClock{}}), Clock: clock.RealClock{}, Log: logr.Discard(), KeepFor: time.Hour,
		Polled: func(types.NamespacedName, int, error) {}, Changed: func(types.NamespacedName) {}}
	r := &Reconciler{Client: kube, Live: kube, Clock: clock.RealClock{}, Lanes: lanes.New(lanes.Options{Clock: clock.RealClock{}}), AWS: clients, Poller: polls}

	startWork(ctx, g, load, action)
	ended := make(chan error)
	polling, stop := context.WithCancel(ctx)
	go func() { ended <- polls.Start(polling) }()
	defer func() { stop(); close(create); g.Expect(<-ended).To(Succeed()) }()
	before, err := r.accessOf(ctx, action)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.holders.take(keyOf(action, before), client.ObjectKeyFromObject(action))).To(BeTrue())
	polls.Ensure(r.target(action, before, true))
	<-creating

	action.Spec.Region = "eu-west-1"
	after, err := r.accessOf(ctx, action)
	g.Expect(err).NotTo(HaveOccurred())
	again, err := r.leavePlace(ctx, action, observation{now: time.Now(), access: after, pending: "waiting for CodePipeline"}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again).To(Equal(firstRetry))
	_, held := r.holders.held(client.ObjectKeyFromObject(action))
	g.Expect(held).To(BeTrue(), "others wait until it is recorded")
}

// startWork starts a pipeline with a job for an action.
func startWork(ctx context.Context, g *WithT, load []func(*config.LoadOptions) error, action *v1alpha1.CustomAction) {
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	g.Expect(err).NotTo(HaveOccurred())
	api, err := codepipeline.NewClients(codepipeline.ClientsOptions{}, load...).For(ctx, codepipeline.Identity{Region: "us-east-1"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(api.CreateActionType(ctx, actionTypeOf(action), nil)).To(Succeed())
	_, err = s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("source"), Key: aws.String("s.zip")})
	g.Expect(err).NotTo(HaveOccurred())
	pipelines := sdk.NewFromConfig(cfg)
	_, err = pipelines.CreatePipeline(ctx, harness.PipelineWith("p", pipeline.NewAction("work", harness.WorkType()).Inputs("source")).CreateInput())
	g.Expect(err).NotTo(HaveOccurred())
	_, err = pipelines.StartPipelineExecution(ctx, &sdk.StartPipelineExecutionInput{Name: aws.String("p")})
	g.Expect(err).NotTo(HaveOccurred())
}
