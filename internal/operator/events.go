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

// indexActionExecution is the cache's index of unsettled PipelineJobs by their
// action execution.
const indexActionExecution = "spec.pipeline.actionExecutionID"

func indexByActionExecution(object client.Object) []string {
	job := object.(*v1alpha1.PipelineJob)
	if id := job.Spec.Pipeline.ActionExecutionID; id != "" && !job.Settled() {
		return []string{id}
	}
	return nil
}

// eventHandler turns CodePipeline's events into polls and cancellations.
type eventHandler struct {
	client.Client
	poller *poller.Poller
	log    logr.Logger
}

// Started has the jobs of an action type polled for at once.
func (h *eventHandler) Started(change eventqueue.Change) bool {
	return h.poller.WakeType(change.Region, change.Account, change.Type) > 0
}

// Abandoned records on the PipelineJob that nobody waits for it any more: the
// reconciler does the rest, whatever becomes of this process and the message.
func (h *eventHandler) Abandoned(ctx context.Context, change eventqueue.Change) (bool, error) {
	var jobs v1alpha1.PipelineJobList
	if err := h.List(ctx, &jobs, client.MatchingFields{indexActionExecution: change.ActionExecutionID}); err != nil {
		return false, fmt.Errorf("find the PipelineJob of an abandoned action: %w", err)
	}
	for i := range jobs.Items {
		job := &jobs.Items[i]
		before := job.DeepCopy()
		if job.Annotations == nil {
			job.Annotations = map[string]string{}
		}
		job.Annotations[v1alpha1.AnnotationAbandoned] = "true"
		if err := h.Patch(ctx, job, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("record that PipelineJob %s was abandoned: %w", job.Name, err)
		}
		h.log.Info("An event says that the action was abandoned", "pipelineJob", client.ObjectKeyFromObject(job), "jobID", job.Spec.CodePipelineJob.ID, "action", naming.ActionOf(job))
	}
	return len(jobs.Items) > 0, nil
}
