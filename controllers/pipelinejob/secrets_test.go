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

// secretStore has the UIDs of Secrets by name, and answers as the API server does: see
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

// check refuses a write of an object that is not there, or has another UID than the one
// that is asked for.
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

// workingWithASecret is a play whose PipelineJob has a Secret and a Job.
func workingWithASecret(t *testing.T) (p *play, name string) {
	p = newPlay(t)
	t.Cleanup(func() { p.Expect(p.aws.Close()).To(Succeed()) })
	p.start(nil)
	p.poll(nil)
	p.goOnUntil(runs1)
	return p, naming.SecretName(p.pipelineJob())
}

// renews has time for the Secret's renewal go by, and reports whether it was renewed then.
func (p *play) renews() bool {
	before := p.pipelineJob().Status.Protocol.Secret
	p.clock.Step(DefaultRenewal + time.Second)
	for range 2 { // that a Secret is gone is recorded before another is made
		p.tryStep(p.pipelineJob().Name)
	}
	return before.RenewedAt.Before(p.pipelineJob().Status.Protocol.Secret.RenewedAt)
}

// TestRenewalReplacesTheSecretAlone: the Secret whose creation was answered is replaced, and
// created again if a user has deleted it, but another in its place is neither replaced nor
// deleted.
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
	p.goOnUntil(func(job *v1alpha1.PipelineJob) bool { // that it is gone is recorded before it is created again
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

// TestSecretWhoseCreationWasNotAnswered is there when it is created again: it is replaced,
// as no other object can have its name.
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

// TestJobsOfOthersAreNotTouched has the status name a Job that is not the PipelineJob's, as
// one that was written by hand may: by its name, or by name and UID. It is not deleted,
// whatever ends the PipelineJob.
func TestJobsOfOthersAreNotTouched(t *testing.T) {
	for name, forge := range map[string]func(run *v1alpha1.Run, foreign *batchv1.Job){
		"by its name": func(run *v1alpha1.Run, foreign *batchv1.Job) { run.JobName, run.JobUID = foreign.Name, "" },
		"by both": func(run *v1alpha1.Run, foreign *batchv1.Job) {
			run.JobName, run.JobUID = foreign.Name, string(foreign.UID)
		},
		"by its finish": func(run *v1alpha1.Run, foreign *batchv1.Job) {
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
