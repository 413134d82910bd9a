package pipelinejob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// renewSecret writes the job's Secret from a new GetJobDetails, and records when.
func (r *Reconciler) renewSecret(ctx context.Context, s state) error {
	job := s.job
	api, err := r.codePipeline(ctx, job)
	if err != nil {
		return r.detailsFailed(ctx, job, err)
	}
	// A job read from a stale cache may need a Secret that was written just now.
	if err := r.checkNewest(ctx, job); err != nil {
		return err
	}
	now := metav1.NewTime(r.Clock.Now())
	details, err := api.GetJobDetails(ctx, job.Spec.CodePipelineJob.ID)
	if err != nil {
		return r.detailsFailed(ctx, job, err)
	}
	// If this operator was frozen during the call or shortly before it, another may lead now.
	if err := r.checkNewest(ctx, job); err != nil {
		return afterCall(err)
	}
	secret, err := secretOf(job, details)
	if err != nil {
		return err
	}
	err = r.writeSecret(ctx, job, secret)
	if errors.Is(err, errSecretGone) {
		return afterCall(r.forgetSecret(ctx, job))
	}
	if err != nil {
		return r.secretRefused(ctx, s, fmt.Errorf("write Secret %s: %w", secret.Name, err))
	}
	return afterCall(r.writeStatus(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		status.Protocol.Secret = &v1alpha1.SecretState{JobID: job.Spec.CodePipelineJob.ID, RenewedAt: &now, UID: secret.UID}
	}))
}

// operationDetails only reads: it has no effect that must be recorded.
const operationDetails = "GetJobDetails"

// detailsFailed settles a job that CodePipeline has closed. For other errors, it records why
// the details are not available, unless the work is already running.
func (r *Reconciler) detailsFailed(ctx context.Context, job *v1alpha1.PipelineJob, cause error) error {
	if verdictOf(operationDetails, cause, false) == verdictGone {
		return r.unreported(ctx, job, r.writeStatus, v1alpha1.ReasonJobNoLongerOpen,
			"CodePipeline no longer knows the job: the execution was stopped, or the action timed out")
	}
	if job.Status.Run != nil && job.Status.Run.JobUID == "" { // otherwise, the work is running
		return r.callFailed(ctx, job, v1alpha1.ConditionRunning, cause)
	}
	return cause
}

// secretRefused records why the Job can't be created yet, or fails the work. If the Job
// exists, the work continues.
func (r *Reconciler) secretRefused(ctx context.Context, s state, cause error) error {
	switch answer := diagnosis.AnswerOf(cause); {
	case s.job.Status.Run.JobUID != "":
		return afterCall(cause)
	case answer == diagnosis.AnswerNone && apierrors.IsConflict(cause):
		return afterCall(cause)
	case answer == diagnosis.AnswerDenied, answer == diagnosis.AnswerNotPermitted:
		// Only the text is kept: a webhook chooses the status code, which may be that of a
		// conflict.
		return r.notAdmitted(ctx, s, stepRenewSecret, errors.New(cause.Error()))
	case answer == diagnosis.AnswerQuotaExceeded:
		return r.notAdmitted(ctx, s, stepRenewSecret, cause)
	case answer == diagnosis.AnswerInvalid:
		return r.recordFailure(ctx, s, v1alpha1.FailureConfigurationError,
			fmt.Sprintf("Kubernetes can't store the values of the action's secret properties: %v. Shorten them", cause))
	default:
		return r.callFailed(ctx, s.job, v1alpha1.ConditionRunning, cause)
	}
}

func secretOf(job *v1alpha1.PipelineJob, details codepipeline.Job) (*corev1.Secret, error) {
	data := map[string][]byte{}
	for _, name := range job.Spec.SecretConfiguration {
		data[naming.SecretConfigKey(name)] = []byte(details.Configuration[name])
	}
	if jobspec.HasArtifacts(job) {
		content, err := json.Marshal(handoverOf(job, details))
		if err != nil {
			return nil, fmt.Errorf("encode the handover: %w", err)
		}
		data[podcontract.HandoverKey] = content
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: naming.SecretName(job), Namespace: job.Namespace, Labels: naming.Labels(job),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, v1alpha1.GroupVersion.WithKind("PipelineJob"))},
		},
		Type: corev1.SecretTypeOpaque,
		Data: data,
	}, nil
}

func handoverOf(job *v1alpha1.PipelineJob, details codepipeline.Job) podcontract.Handover {
	return podcontract.Handover{
		JobID:  details.ID,
		Region: string(job.Spec.Region),
		Credentials: podcontract.Credentials{
			AccessKeyID:     details.Credentials.AccessKeyID,
			SecretAccessKey: details.Credentials.SecretAccessKey,
			SessionToken:    details.Credentials.SessionToken,
		},
		InputArtifacts:  handedOver(details.InputArtifacts),
		OutputArtifacts: handedOver(details.OutputArtifacts),
		EncryptionKeyID: details.EncryptionKey.ID,
	}
}

func handedOver(artifacts []codepipeline.Artifact) []podcontract.Artifact {
	var places []podcontract.Artifact
	for _, artifact := range artifacts {
		places = append(places, podcontract.Artifact{Name: artifact.Name, Bucket: artifact.Bucket, ObjectKey: artifact.ObjectKey})
	}
	return places
}
