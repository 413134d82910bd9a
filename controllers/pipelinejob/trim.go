package pipelinejob

import (
	"context"
	"maps"
	"slices"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/compact"
	"github.com/pipelinejob/pipelinejob-operator/internal/staleness"
)

const (
	// annotationLeftOut is on PipelineJobs of the cache alone: their status.outputVariables
	// were left out.
	annotationLeftOut = "codepipeline.pipelinejob.dev/output-variables-left-out"
	// keptVariables is the size of status.outputVariables, in bytes, up to which a cache has
	// them. CodePipeline takes 122,880 of them, which only the report reads, once.
	keptVariables = 1 << 10
)

// Trim leaves of a PipelineJob or CustomAction what the operator reads from its cache.
// No write may be based on what was left out: a settled job of which nothing is to be
// cleaned up gets none.
func Trim(object any) {
	switch object := object.(type) {
	case *v1alpha1.CustomAction:
		object.ManagedFields, object.Annotations = nil, nil
	case *v1alpha1.PipelineJob:
		object.ManagedFields, object.Labels = nil, nil
		maps.DeleteFunc(object.Annotations, func(name, _ string) bool {
			return name != v1alpha1.AnnotationAbandoned && name != annotationLeftOut // that of an object which is trimmed again
		})
		if object.Settled() && object.Status.Protocol.Secret == nil && object.DeletionTimestamp.IsZero() {
			trimSettled(object)
		} else {
			leaveOutVariables(object)
		}
		share(object)
	}
}

// share has texts that PipelineJobs, or members of one, have in common be in memory once,
// and lists without room for more.
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

func leaveOutVariables(job *v1alpha1.PipelineJob) {
	size := 0
	for name, value := range job.Status.OutputVariables {
		size += len(name) + len(value)
	}
	if size <= keptVariables {
		return
	}
	job.Status.OutputVariables = nil
	if job.Annotations == nil {
		job.Annotations = map[string]string{}
	}
	job.Annotations[annotationLeftOut] = "true"
}

// complete returns a PipelineJob with what the cache leaves out. The error is a conflict
// if there is a newer version.
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
