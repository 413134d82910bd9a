package pipelinejob

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/bounds"
	"github.com/pipelinejob/pipelinejob-operator/internal/compact"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/staleness"
)

const (
	// annotationLeftOut marks PipelineJobs in the cache whose status.outputVariables or
	// spec.configuration was left out.
	annotationLeftOut = "codepipeline.pipelinejob.dev/left-out"
	// keptVariables is the maximum size, in bytes, of status.outputVariables in the cache.
	// CodePipeline accepts 122,880 bytes, and only the report needs them, once.
	keptVariables = 1 << 10
	// keptConfiguration is the maximum size, in bytes, of spec.configuration in the cache.
	// CodePipeline limits it to 10 properties of 1,000 characters, but resolved variable
	// references may exceed that. Only the creation of the Job needs it.
	keptConfiguration = 16 << 10
)

// Trim reduces a PipelineJob, CustomAction or namespace to what the operator reads from its
// cache. No write may be based on what was left out: a settled job that needs no cleanup is
// not written.
func Trim(object any) {
	switch object := object.(type) {
	case *v1alpha1.CustomAction:
		bounds.TrimAction(object)
	case *corev1.Namespace: // grants select it by its labels
		object.ManagedFields, object.Annotations = nil, nil
	case *v1alpha1.PipelineJob:
		// annotationLeftOut stays on an object that is trimmed again.
		bounds.TrimMeta(object, v1alpha1.FinalizerPipelineJob, v1alpha1.AnnotationAbandoned, annotationLeftOut)
		if object.Settled() && object.Status.Protocol.Secret == nil && object.DeletionTimestamp.IsZero() {
			trimSettled(object)
		} else {
			leaveOutBulk(object)
		}
		bound(object)
		share(object)
	}
}

// share makes texts that PipelineJobs, or fields of one, have in common exist once in memory,
// and drops the spare capacity of slices.
func share(job *v1alpha1.PipelineJob) {
	spec, status := &job.Spec, &job.Status
	pipeline := &spec.Pipeline
	compact.Share(&job.APIVersion, &job.Kind, &job.Namespace, &spec.ActionRef.Name, &spec.AccountRef.Name, &spec.AccountID,
		&pipeline.Name, &pipeline.ARN, &pipeline.Stage, &pipeline.Action)
	compact.Share(&spec.Region)
	compact.Share(&status.Phase)
	job.Finalizers = slices.Clone(job.Finalizers)
	for i := range job.Finalizers {
		compact.Share(&job.Finalizers[i])
	}
	job.OwnerReferences = slices.Clone(job.OwnerReferences)
	for i := range job.OwnerReferences {
		owner := &job.OwnerReferences[i]
		compact.Share(&owner.APIVersion, &owner.Kind, &owner.Name)
		compact.Share(&owner.UID)
	}
	status.Conditions = slices.Clone(status.Conditions)
	for i := range status.Conditions {
		condition := &status.Conditions[i]
		compact.Share(&condition.Type, &condition.Reason)
		compact.Share(&condition.Status)
	}
	for _, id := range []*string{&status.Protocol.AcknowledgedJobID, &status.Protocol.ReportedJobID, &status.Protocol.SettledJobID} {
		if *id == spec.CodePipelineJob.ID {
			*id = spec.CodePipelineJob.ID
		}
	}
}

func trimSettled(job *v1alpha1.PipelineJob) {
	spec, status := &job.Spec, &job.Status
	spec.Configuration, spec.SecretConfiguration = nil, nil
	spec.InputArtifacts, spec.OutputArtifacts, spec.EncryptionKey = nil, nil, nil
	status.OutputVariables, status.CurrentRevision, status.ExecutionDetails, status.FailureDetails = nil, nil, nil, nil
	status.PreviousRuns = nil
	for i := range status.Conditions {
		status.Conditions[i].Message = ""
	}
}

// leaveOutBulk leaves out large fields that are needed once: complete reads them from the API
// server.
func leaveOutBulk(job *v1alpha1.PipelineJob) {
	leftOut := false
	for _, bulk := range []struct {
		of   *map[string]string
		kept int
	}{{&job.Status.OutputVariables, keptVariables}, {&job.Spec.Configuration, keptConfiguration}} {
		if textSize(*bulk.of) > bulk.kept {
			*bulk.of, leftOut = nil, true
		}
	}
	if !leftOut {
		return
	}
	if job.Annotations == nil {
		job.Annotations = map[string]string{}
	}
	job.Annotations[annotationLeftOut] = "true"
}

func textSize(of map[string]string) (size int) {
	for name, value := range of {
		size += len(name) + len(value)
	}
	return size
}

// bound keeps the operator from working on a PipelineJob that exceeds bounds.Object: it keeps
// only its name and its action, and marks it as settled. No job from CodePipeline is that
// large without what leaveOutBulk leaves out: its names have up to 100 characters, and it has
// up to 5 artifacts.
func bound(job *v1alpha1.PipelineJob) {
	if bounds.Memory(job) <= bounds.Object {
		return
	}
	action, ended := job.Spec.ActionRef, job.CreationTimestamp
	action.Name = limits.CutBytes(action.Name, limits.ObjectName)
	job.Spec, job.Status = v1alpha1.PipelineJobSpec{ActionRef: action}, v1alpha1.PipelineJobStatus{}
	job.Settle(ended)
}

// complete returns a PipelineJob with the fields that the cache leaves out. The error is a
// conflict if there is a newer version.
func (r *Reconciler) complete(ctx context.Context, job *v1alpha1.PipelineJob) (*v1alpha1.PipelineJob, error) {
	if job.Annotations[annotationLeftOut] == "" {
		return job, nil
	}
	newest := &v1alpha1.PipelineJob{}
	if err := staleness.Check(ctx, r.Live, job, newest); err != nil {
		return nil, err
	}
	return newest, nil
}
