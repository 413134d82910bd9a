package operator

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/eventqueue"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
)

// indexActionExecution is the cache's index of unsettled PipelineJobs by the group of
// their action execution.
const indexActionExecution = "spec.pipeline.actionExecutionID"

func indexByActionExecution(object client.Object) []string {
	job := object.(*v1alpha1.PipelineJob)
	if id := job.Spec.Pipeline.ActionExecutionID; id != "" && !job.Settled() {
		return []string{naming.Group(id)}
	}
	return nil
}

// eventHandler turns CodePipeline's events into polls and cancellations.
type eventHandler struct {
	client.Client
	poller *poller.Poller
	log    logr.Logger
}

// Started polls immediately for the jobs of an action type.
func (h *eventHandler) Started(change eventqueue.Change) bool {
	return h.poller.WakeType(change.Region, change.Account, change.Type) > 0
}

// Stopped records on the PipelineJob that CodePipeline no longer waits for it. The
// reconciler does the rest, even if this process ends or the message is lost.
func (h *eventHandler) Stopped(ctx context.Context, change eventqueue.Change) (bool, error) {
	jobs, err := h.jobsOf(ctx, change.ActionExecutionID)
	if err != nil {
		return false, fmt.Errorf("find the PipelineJob of a stopped action: %w", err)
	}
	for _, job := range jobs {
		before := job.DeepCopy()
		if job.Annotations == nil {
			job.Annotations = map[string]string{}
		}
		job.Annotations[v1alpha1.AnnotationAbandoned] = stoppedBy(change.State)
		if err := h.Patch(ctx, job, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("record that PipelineJob %s was stopped: %w", job.Name, err)
		}
		h.log.Info("An event says that CodePipeline no longer waits for the action", "state", change.State, "pipelineJob", client.ObjectKeyFromObject(job), "jobID", job.Spec.CodePipelineJob.ID, "action", naming.ActionOf(job))
	}
	return len(jobs) > 0, nil
}

// stoppedBy is the value of the annotation for a state.
func stoppedBy(state eventqueue.State) string {
	if state == eventqueue.Canceled {
		return v1alpha1.AbandonedByUpdate
	}
	return v1alpha1.AbandonedByStop
}

// jobsOf returns the unsettled PipelineJobs of an action execution.
func (h *eventHandler) jobsOf(ctx context.Context, actionExecutionID string) ([]*v1alpha1.PipelineJob, error) {
	var group v1alpha1.PipelineJobList
	err := h.List(ctx, &group, client.MatchingFields{indexActionExecution: naming.Group(actionExecutionID)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, err
	}
	var jobs []*v1alpha1.PipelineJob
	for i := range group.Items {
		if job := &group.Items[i]; job.Spec.Pipeline.ActionExecutionID == actionExecutionID {
			jobs = append(jobs, job.DeepCopy()) // group belongs to the cache
		}
	}
	return jobs, nil
}
