package pipelinejob

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// refusing makes the API server refuse to create Jobs, or to write Secrets, while message is
// not empty.
func (p *play) refusing(jobs bool, message *string) {
	refuse := func(is bool) error {
		if !is || *message == "" {
			return nil
		}
		return apierrors.NewForbidden(schema.GroupResource{}, "it", errors.New(*message))
	}
	p.operator.Client = interceptor.NewClient(p.kube, interceptor.Funcs{
		Create: func(ctx context.Context, kube client.WithWatch, object client.Object, options ...client.CreateOption) error {
			_, isJob := object.(*batchv1.Job)
			_, isSecret := object.(*corev1.Secret)
			if err := refuse(jobs && isJob || !jobs && isSecret); err != nil {
				return err
			}
			return kube.Create(ctx, object, options...)
		},
	})
}

// goOnUntil takes steps, which may fail, until a PipelineJob is as wanted.
func (p *play) goOnUntil(is func(*v1alpha1.PipelineJob) bool) {
	for range 200 {
		if is(p.pipelineJob()) {
			return
		}
		p.tryStep(p.pipelineJob().Name)
		p.clock.Step(5 * time.Second)
	}
	p.Expect(p.pipelineJob().Status).To(BeNil(), "the PipelineJob never got there")
}

// TestFirstRefusalOfAQuotaIsNoEnd has the API server fail for ten minutes, and a quota used up
// after that. The grace period of the quota must not have started before.
func TestFirstRefusalOfAQuotaIsNoEnd(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	broken := "a webhook can't be reached"
	kube := p.operator.Client
	p.operator.Client = interceptor.NewClient(p.kube, interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			return errors.New(broken)
		},
	})
	began := p.clock.Now()
	p.goOnUntil(func(*v1alpha1.PipelineJob) bool { return p.clock.Since(began) > 11*time.Minute })
	full := "exceeded quota: team"
	p.refusing(true, &full)
	p.goOnUntil(waitsForQuota)
	p.operator.Client = kube
	p.goOnUntil(runs1)
}

// denied returns an admission policy's refusal of a Job, with any status code.
func denied(code int32, reason metav1.StatusReason) error {
	const message = `ValidatingAdmissionPolicy 'ttl' with binding 'all' denied request: every Job must set spec.ttlSecondsAfterFinished`
	err := apierrors.NewForbidden(schema.GroupResource{Group: "batch", Resource: "jobs"}, "j", errors.New(message))
	err.ErrStatus.Code, err.ErrStatus.Reason = code, reason
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Message: message}}
	return err
}

// TestDeniedJobIsTriedForAMinute has a policy, added after the dry run, refuse the Job. The
// condition must say so immediately, and the work must start when the policy is changed.
// Otherwise, the action fails after a minute, whatever the status code of the refusal.
func TestDeniedJobIsTriedForAMinute(t *testing.T) {
	for _, c := range []struct {
		code   int32
		reason metav1.StatusReason
	}{{422, metav1.StatusReasonInvalid}, {401, metav1.StatusReasonUnauthorized}, {403, metav1.StatusReasonForbidden}, {409, metav1.StatusReasonConflict}} {
		for _, changed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, the policy is changed: %t", c.reason, changed), func(t *testing.T) {
				p := newPlay(t)
				defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
				p.start(nil)
				p.poll(nil)
				kube := p.operator.Client
				p.operator.Client = interceptor.NewClient(p.kube, interceptor.Funcs{
					Create: func(ctx context.Context, kube client.WithWatch, object client.Object, options ...client.CreateOption) error {
						if _, is := object.(*batchv1.Job); is {
							return denied(c.code, c.reason)
						}
						return kube.Create(ctx, object, options...)
					},
				})
				p.goOnUntil(func(job *v1alpha1.PipelineJob) bool {
					running := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionRunning)
					return running != nil && running.Reason == v1alpha1.ReasonJobRefused
				})
				if changed {
					p.operator.Client = kube
					p.goOnUntil(runs1)
					return
				}
				began := p.clock.Now()
				p.goOnUntil((*v1alpha1.PipelineJob).Settled)
				p.Expect(p.clock.Since(began)).To(BeNumerically("~", time.Minute, 30*time.Second))
				failure := p.pipelineJob().Status.FailureDetails
				p.Expect(failure.Type).To(Equal(v1alpha1.FailurePermissionError))
				p.Expect(failure.Message).To(And(ContainSubstring("every Job must set spec.ttlSecondsAfterFinished"), ContainSubstring("have the rule changed")))
			})
		}
	}
}

// TestFullQuotaIsWaitedFor has a quota of the namespace used up when the Job, or its Secret,
// is created. The condition must say so immediately, and the work must start when other work
// has ended. The wait lasts as long as the action may take.
func TestFullQuotaIsWaitedFor(t *testing.T) {
	const full = "exceeded quota: team, requested: 1, used: 5, limited: 5"
	for _, jobs := range []bool{true, false} {
		for _, timeout := range []time.Duration{0, time.Hour} {
			t.Run(fmt.Sprintf("of Jobs: %t, timeout: %s", jobs, timeout), func(t *testing.T) {
				p := newPlay(t)
				defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
				p.bounded(timeout)
				p.start(nil)
				p.poll(nil)
				message := full
				p.refusing(jobs, &message)
				began := p.clock.Now()
				p.goOnUntil(waitsForQuota)
				p.Expect(p.clock.Since(began)).To(BeNumerically("<", time.Minute), "it is shown immediately")
				p.goOnFor(55 * time.Minute)
				p.Expect(p.pipelineJob().Settled()).To(BeFalse())
				p.Expect(waitsForQuota(p.pipelineJob())).To(BeTrue())
				if timeout == 0 {
					p.goOnFor(22 * time.Hour)
					message = ""
					p.goOnUntil(runs1)
					return
				}
				p.goOnUntil((*v1alpha1.PipelineJob).Settled)
				p.Expect(p.clock.Since(began)).To(BeNumerically("~", timeout, 2*time.Minute))
				job := p.pipelineJob()
				p.Expect(job.Status.FailureDetails.Type).To(Equal(v1alpha1.FailureSystemUnavailable))
				p.Expect(job.Status.FailureDetails.Message).To(And(ContainSubstring(full), ContainSubstring("have the quota raised")))
			})
		}
	}
}

// bounded gives the CustomAction a timeout, unless it is zero.
func (p *play) bounded(timeout time.Duration) {
	if timeout == 0 {
		return
	}
	action := &v1alpha1.CustomAction{}
	p.Expect(p.kube.Get(p.ctx, client.ObjectKey{Namespace: "team", Name: "work"}, action)).To(Succeed())
	action.Spec.Timeout = &metav1.Duration{Duration: timeout}
	p.Expect(p.kube.Update(p.ctx, action)).To(Succeed())
}

// goOnFor takes a step every two minutes.
func (p *play) goOnFor(long time.Duration) {
	for range int(long / (2 * time.Minute)) {
		p.tryStep(p.pipelineJob().Name)
		p.clock.Step(2 * time.Minute)
	}
}

// waitsForQuota reports whether the condition Running says that a quota is used up.
func waitsForQuota(job *v1alpha1.PipelineJob) bool {
	running := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionRunning)
	return running != nil && running.Reason == v1alpha1.ReasonQuotaExceeded
}
