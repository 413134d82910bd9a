//go:build bench

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// queue is the name of the queue with CodePipeline's events.
const queue = "events"

// world is a cluster with the operator, and an emulated AWS.
type world struct {
	*cluster
	aws       *emulator.Server
	pipelines *codepipeline.Client
	action    *v1alpha1.CustomAction
}

// newWorld starts the operator and registers an action.
func newWorld(t *testing.T, interval time.Duration, wakeUp bool) *world {
	w := &world{cluster: newCluster(t, filepath.Join("..", "..", "config", "crd", "bases"))}
	w.aws = emulator.StartT(t, emulator.Options{Buckets: []string{"source", "artifacts"}, CreateOnly: true, EventQueue: queue})
	w.pipelines = codepipeline.NewFromConfig(w.aws.AWSConfig())
	objects := s3.NewFromConfig(w.aws.AWSConfig(), func(o *s3.Options) { o.UsePathStyle = true })
	_, err := objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("source"), Key: aws.String("s.zip")})
	w.Expect(err).NotTo(HaveOccurred())

	flags := []string{"--kubeconfig=" + w.kubeconfig(userOperator), "--metrics-bind-address=0", "--health-probe-bind-address=0",
		"--runner-image=operator:bench", "--zap-log-level=error"}
	if wakeUp {
		flags = append(flags, "--event-queue-url="+w.aws.URL()+"/111122223333/"+queue)
	}
	w.launch(processOperator, os.Getenv("MANAGER"), []string{
		"AWS_ENDPOINT_URL=" + w.aws.URL(), "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=us-east-1",
	}, flags...)

	w.action = suspended(interval)
	w.Expect(w.kube.Create(t.Context(), harness.NewAccount(namespace))).To(Succeed())
	w.Expect(w.kube.Create(t.Context(), w.action)).To(Succeed())
	w.await(func(g Gomega) { g.Expect(w.condition(v1alpha1.ConditionRegistered)).To(BeTrue()) })
	return w
}

// suspended returns an action that is not polled for yet. Its jobs have neither artifacts nor
// secrets.
func suspended(interval time.Duration) *v1alpha1.CustomAction {
	action := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "work"}}
	action.Spec.AccountRef.Name = namespace
	action.Spec.ActionType = v1alpha1.ActionType{Category: "Test", Provider: "work", Version: "1"}
	action.Spec.Polling = v1alpha1.Polling{Interval: metav1.Duration{Duration: interval}, MaxConcurrentJobs: 1000}
	action.Spec.Suspend = true
	action.Spec.JobTemplate.Spec.Template.Spec.Containers = []corev1.Container{{Name: "work", Image: "work:1"}}
	return action
}

// resume starts polling for the action.
func (w *world) resume() {
	w.Expect(w.kube.Patch(w.t.Context(), w.action, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"suspend":false}}`)))).To(Succeed())
}

func (w *world) condition(name string) bool {
	w.Expect(w.kube.Get(w.t.Context(), client.ObjectKeyFromObject(w.action), w.action)).To(Succeed())
	return meta.IsStatusConditionTrue(w.action.Status.Conditions, name)
}

// addPipeline creates a pipeline for a job.
func (w *world) addPipeline(name string) {
	_, err := w.pipelines.CreatePipeline(w.t.Context(), pipeline.New(name, "artifacts").
		Stage("Source", pipeline.S3Source("source", "source", "s.zip").Outputs("source")).
		Stage("Work", pipeline.NewAction("work", pipeline.CustomType(types.ActionCategoryTest, "work", "1"))).
		CreateInput())
	w.Expect(err).NotTo(HaveOccurred())
}

// startPipeline starts a pipeline, which makes a job available.
func (w *world) startPipeline(name string) {
	_, err := w.pipelines.StartPipelineExecution(w.t.Context(), &codepipeline.StartPipelineExecutionInput{Name: aws.String(name)})
	w.Expect(err).NotTo(HaveOccurred())
}

// operate measures the operator with queued jobs. It also returns one of the operator's Jobs.
func operate(t *testing.T, jobs int) (figures, *batchv1.Job) {
	w := newWorld(t, 30*time.Second, false)
	for i := range jobs {
		name := fmt.Sprintf("p%d", i)
		w.addPipeline(name)
		w.startPipeline(name)
	}
	f, began := w.measure(jobs, userOperator, w.resume, w.reportedJobs)
	f.countCalls(w.aws, began)
	for _, at := range answered(w.audit.requests(w.WithT, userOperator, began, time.Now()), "create jobs") {
		f.waits = append(f.waits, at.Sub(began))
	}
	w.Expect(f.waits).To(HaveLen(jobs), "the audit log has the creation of each Job")
	var made batchv1.JobList
	w.Expect(w.kube.List(t.Context(), &made, client.InNamespace(namespace), client.Limit(1))).To(Succeed())
	w.Expect(made.Items).NotTo(BeEmpty())
	return f, copyOf(made.Items[0])
}
