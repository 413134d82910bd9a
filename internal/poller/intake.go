package poller

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

// intakeResult is what became of a polled job.
type intakeResult int

const (
	// intakeLeft: there is no slot for it; CodePipeline hands it out again.
	intakeLeft intakeResult = iota
	// intakeCreated: it has an object of its own.
	intakeCreated
	// intakeMoved: it moved on an object that was there.
	intakeMoved
)

// intake records a polled job. A job that is known already, because it was
// polled before or is the continuation of another, moves its object on. One that
// is not known is recorded only when there is a slot for it.
func (l *loop) intake(ctx context.Context, job codepipeline.Job, free bool) (intakeResult, error) {
	var action v1alpha1.CustomAction
	if err := l.poller.Client.Get(ctx, l.target.Action, &action); err != nil {
		return intakeLeft, fmt.Errorf("read the CustomAction: %w", err)
	}
	record := newPipelineJob(&action, job, metav1.NewTime(l.poller.Clock.Now()))
	if err := controllerutil.SetControllerReference(&action, record, l.poller.Client.Scheme()); err != nil {
		return intakeLeft, err
	}
	log := l.poller.Log.WithValues("pipelineJob", client.ObjectKeyFromObject(record), "jobID", job.ID, "action", l.target.Action)
	if !free {
		known, err := l.moveOn(ctx, record)
		if err != nil || known {
			return intakeMoved, err
		}
		log.Info("Left a job to be handed out again: no slot is free")
		return intakeLeft, nil
	}
	err := l.poller.Client.Create(ctx, record)
	switch {
	case err == nil:
		l.poller.capacity.made(l.target.Action, client.ObjectKeyFromObject(record))
		log.Info("Recorded a job")
		return intakeCreated, nil
	case apierrors.IsAlreadyExists(err):
		known, err := l.moveOn(ctx, record)
		if err == nil && !known { // it was deleted just now
			return intakeLeft, nil
		}
		return intakeMoved, err
	default:
		return intakeLeft, err
	}
}

// moveOn updates spec.codePipelineJob of an existing object. It reports whether there
// is one.
func (l *loop) moveOn(ctx context.Context, polled *v1alpha1.PipelineJob) (bool, error) {
	var known v1alpha1.PipelineJob
	err := l.poller.Live.Get(ctx, client.ObjectKeyFromObject(polled), &known)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the PipelineJob: %w", err)
	}
	if known.Spec.Pipeline.ActionExecutionID != polled.Spec.Pipeline.ActionExecutionID {
		return true, fmt.Errorf("PipelineJob %s belongs to another action execution (%s): delete it",
			known.Name, known.Spec.Pipeline.ActionExecutionID)
	}
	if known.Spec.CodePipelineJob.ID == polled.Spec.CodePipelineJob.ID && known.Spec.CodePipelineJob.Nonce == polled.Spec.CodePipelineJob.Nonce {
		return true, nil
	}
	before := known.DeepCopy()
	known.Spec.CodePipelineJob = polled.Spec.CodePipelineJob
	// Nobody else writes spec.codePipelineJob: the patch need not, and must not, fail
	// because the reconciler has written the status meanwhile.
	if err := l.poller.Client.Patch(ctx, &known, client.MergeFrom(before)); err != nil {
		return true, fmt.Errorf("move the PipelineJob on to the new job: %w", err)
	}
	l.poller.Log.Info("Moved a PipelineJob on to a new job or nonce",
		"pipelineJob", client.ObjectKeyFromObject(&known), "jobID", known.Spec.CodePipelineJob.ID, "action", l.target.Action)
	return true, nil
}

// newPipelineJob is the record of a polled job. The values of secret
// properties and the credentials stay out of it. A property that the
// definition does not declare counts as secret.
func newPipelineJob(action *v1alpha1.CustomAction, job codepipeline.Job, now metav1.Time) *v1alpha1.PipelineJob {
	record := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{
		Name:       naming.PipelineJobName(action.Name, job.Pipeline.ActionExecutionID, job.ID),
		Namespace:  action.Namespace,
		Finalizers: []string{v1alpha1.FinalizerPipelineJob},
	}}
	record.Spec = v1alpha1.PipelineJobSpec{
		ActionRef: v1alpha1.ActionReference{Name: action.Name},
		AWS:       action.Spec.AWS,
		AccountID: job.AccountID,
		Pipeline: v1alpha1.PipelineContext{
			Name:              job.Pipeline.Name,
			ARN:               job.Pipeline.ARN,
			ExecutionID:       job.Pipeline.ExecutionID,
			Stage:             job.Pipeline.Stage,
			Action:            job.Pipeline.Action,
			ActionExecutionID: job.Pipeline.ActionExecutionID,
		},
		InputArtifacts:  artifacts(job.InputArtifacts),
		OutputArtifacts: artifacts(job.OutputArtifacts),
		CodePipelineJob: v1alpha1.CodePipelineJob{
			ID:                job.ID,
			Nonce:             job.Nonce,
			ContinuationToken: job.ContinuationToken,
			PolledAt:          &now,
		},
	}
	if job.EncryptionKey.ID != "" {
		record.Spec.EncryptionKey = &v1alpha1.EncryptionKey{ID: job.EncryptionKey.ID, Type: job.EncryptionKey.Type}
	}
	record.Spec.Configuration, record.Spec.SecretConfiguration = jobspec.SplitConfiguration(action, job.Configuration)
	record.Labels = naming.Labels(record)
	return record
}

func artifacts(polled []codepipeline.Artifact) []v1alpha1.Artifact {
	var kept []v1alpha1.Artifact
	for _, artifact := range polled {
		kept = append(kept, v1alpha1.Artifact{
			Name:       artifact.Name,
			Revision:   artifact.Revision,
			S3Location: v1alpha1.S3Location{BucketName: artifact.Bucket, ObjectKey: artifact.ObjectKey},
		})
	}
	return kept
}
