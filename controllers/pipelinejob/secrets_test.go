package pipelinejob

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

var secretsResource = corev1.Resource("secrets")

// secretStore has the UIDs of Secrets by name, and answers like the API server: see
// TestAPIServerKeepsUIDsApart in test/integration.
type secretStore map[string]types.UID

func (s secretStore) create(secret *corev1.Secret) error {
	if _, there := s[secret.Name]; there {
		return apierrors.NewAlreadyExists(secretsResource, secret.Name)
	}
	secret.UID = uuid.NewUUID()
	s[secret.Name] = secret.UID
	return nil
}

func (s secretStore) replace(secret *corev1.Secret) error {
	if err := s.check(secret.Name, secret.UID); err != nil {
		return err
	}
	secret.UID = s[secret.Name]
	return nil
}

func (s secretStore) delete(secret *corev1.Secret, options ...client.DeleteOption) error {
	var all client.DeleteOptions
	all.ApplyOptions(options)
	var only types.UID
	if all.Preconditions != nil && all.Preconditions.UID != nil {
		only = *all.Preconditions.UID
	}
	if err := s.check(secret.Name, only); err != nil {
		return err
	}
	delete(s, secret.Name)
	return nil
}

// check refuses a write to an object that does not exist, or has a UID other than only.
func (s secretStore) check(name string, only types.UID) error {
	uid, there := s[name]
	if !there {
		return apierrors.NewNotFound(secretsResource, name)
	}
	if only != "" && only != uid {
		return apierrors.NewConflict(secretsResource, name, fmt.Errorf("precondition failed: UID in precondition: %s, UID in object meta: %s", only, uid))
	}
	return nil
}

// workingWithASecret returns a play whose PipelineJob has a Secret and a running Job.
func workingWithASecret(t *testing.T) (p *play, name string) {
	p = newPlay(t)
	t.Cleanup(func() { p.Expect(p.aws.Close()).To(Succeed()) })
	p.start(nil)
	p.poll(nil)
	p.goOnUntil(runs1)
	return p, naming.SecretName(p.pipelineJob())
}

// renews waits until the Secret's renewal is due, and reports whether it was renewed.
func (p *play) renews() bool {
	before := p.pipelineJob().Status.Protocol.Secret
	p.clock.Step(DefaultRenewal + time.Second)
	for range 2 { // the loss of a Secret is recorded before another is created
		p.tryStep(p.pipelineJob().Name)
	}
	return before.RenewedAt.Before(p.pipelineJob().Status.Protocol.Secret.RenewedAt)
}

// TestRenewalReplacesTheSecretAlone: the Secret whose UID is recorded is replaced, and created
// again if a user deleted it. Another Secret of its name is neither replaced nor deleted.
func TestRenewalReplacesTheSecretAlone(t *testing.T) {
	p, name := workingWithASecret(t)
	p.Expect(name).To(ContainSubstring(string(p.pipelineJob().UID)))
	recorded := func() types.UID { return p.pipelineJob().Status.Protocol.Secret.UID }
	first := p.secrets[name]
	p.Expect(recorded()).To(Equal(first))
	p.Expect(p.renews()).To(BeTrue())
	p.Expect(p.secrets[name]).To(Equal(first))

	delete(p.secrets, name)
	p.clock.Step(DefaultRenewal + time.Second)
	p.goOnUntil(func(job *v1alpha1.PipelineJob) bool { // the loss is recorded before it is created again
		uid := job.Status.Protocol.Secret.UID
		return uid != "" && uid != first
	})
	p.Expect(recorded()).To(Equal(p.secrets[name]))

	p.secrets[name] = "another"
	p.Expect(p.renews()).To(BeFalse())
	p.end(&p.running()[0], `{"result":{"summary":"done"}}`)
	p.goOnUntil(func(job *v1alpha1.PipelineJob) bool { return job.Settled() && job.Status.Protocol.Secret == nil })
	p.Expect(p.secrets).To(Equal(secretStore{name: "another"}))
}

// TestSecretWhoseCreationWasNotAnswered has the answer to a Secret's creation lost. The retry
// must replace the Secret: no other object can have its name.
func TestSecretWhoseCreationWasNotAnswered(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	p.goOnUntil(func(job *v1alpha1.PipelineJob) bool { return job.Status.Run != nil })
	p.failing = answerLost
	p.goOnUntil(runs1)
	p.Expect(p.pipelineJob().Status.Protocol.Secret.UID).To(Equal(p.secrets[naming.SecretName(p.pipelineJob())]))
}

// TestJobsOfOthersAreNotTouched has a status, edited by hand, that names another Job by name,
// or by name and UID. That Job must not be deleted when the PipelineJob ends.
func TestJobsOfOthersAreNotTouched(t *testing.T) {
	for name, forge := range map[string]func(run *v1alpha1.Run, foreign *batchv1.Job){
		"by name": func(run *v1alpha1.Run, foreign *batchv1.Job) { run.JobName, run.JobUID = foreign.Name, "" },
		"by name and UID": func(run *v1alpha1.Run, foreign *batchv1.Job) {
			run.JobName, run.JobUID = foreign.Name, string(foreign.UID)
		},
		"as finished": func(run *v1alpha1.Run, foreign *batchv1.Job) {
			run.JobName, run.JobUID, run.FinishedAt = foreign.Name, string(foreign.UID), &metav1.Time{Time: noon}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := workingWithASecret(t)
			foreign := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "payroll", Namespace: "team"}}
			p.Expect(p.kube.Create(p.ctx, foreign)).To(Succeed())
			job := p.pipelineJob()
			forge(job.Status.Run, foreign)
			p.Expect(p.kube.Status().Update(p.ctx, job)).To(Succeed())
			p.Expect(p.kube.Delete(p.ctx, job)).To(Succeed())
			for range 100 {
				if len(p.pipelineJobs()) == 0 {
					break
				}
				p.tryStep(job.Name)
				p.clock.Step(5 * time.Second)
			}
			p.Expect(p.pipelineJobs()).To(BeEmpty())
			p.Expect(p.kube.Get(p.ctx, client.ObjectKeyFromObject(foreign), foreign)).To(Succeed())
			p.Expect(foreign.DeletionTimestamp).To(BeNil())
		})
	}
}
