package engine

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func approval() ActionDeclaration {
	return ActionDeclaration{Name: "ok", ActionTypeID: approvalType.ID}
}

// approvalToken returns the token of the approval in the stage Build from GetPipelineState.
func (w *world) approvalToken() string {
	state, err := w.GetPipelineState(NameRequest{"p"})
	w.Expect(err).NotTo(HaveOccurred())
	return state.StageStates[1].ActionStates[0].LatestExecution.Token
}

func (w *world) approve(status, token string) error {
	request := ApprovalRequest{PipelineName: "p", StageName: "Build", ActionName: "ok", Token: token}
	request.Result.Status, request.Result.Summary = status, "looked at it"
	_, err := w.PutApprovalResult(request)
	return err
}

func TestApproval(t *testing.T) {
	for result, want := range map[string]string{"Approved": succeeded, "Rejected": failed} {
		t.Run(result, func(t *testing.T) {
			w := newWorld(t)
			id := w.begin(approval())
			w.clock.Step(6 * 24 * time.Hour)
			w.Expect(w.status(id)).To(Equal(inProgress), "the timeout of custom actions is not that of approvals")
			token := w.approvalToken()
			w.expectCode(w.approve(result, newID()), "InvalidApprovalTokenException")
			w.Expect(w.approve(result, token)).To(Succeed())
			w.Expect(w.status(id)).To(Equal(want))
			w.Expect(w.approvalToken()).To(BeEmpty())
			w.Expect(w.action("ok").Output.ExecutionResult.ExternalExecutionSummary).To(Equal("looked at it"))
			w.expectCode(w.approve(result, token), "ApprovalAlreadyCompletedException")
		})
	}
}

func TestApprovalTimesOut(t *testing.T) {
	for minutes, after := range map[int]time.Duration{0: 7 * 24 * time.Hour, 5: 5 * time.Minute} {
		w := newWorld(t)
		declared := approval()
		declared.TimeoutInMinutes = minutes
		id := w.begin(declared)
		w.clock.Step(after - 1)
		w.Expect(w.status(id)).To(Equal(inProgress))
		w.clock.Step(1)
		w.Expect(w.status(id)).To(Equal(failed))
	}
}

func TestApprovalOfWhatIsNotThere(t *testing.T) {
	w := newWorld(t)
	_, err := w.PutApprovalResult(ApprovalRequest{PipelineName: "p"})
	w.expectCode(err, "PipelineNotFoundException")
	w.begin(approval())
	_, err = w.PutApprovalResult(ApprovalRequest{PipelineName: "p", StageName: "None"})
	w.expectCode(err, "StageNotFoundException")
	_, err = w.PutApprovalResult(ApprovalRequest{PipelineName: "p", StageName: "Build", ActionName: "none"})
	w.expectCode(err, "ActionNotFoundException")
}

func TestRetryRunsFailedActionsAgain(t *testing.T) {
	for mode, want := range map[string][]string{"FAILED_ACTIONS": {"bad"}, "ALL_ACTIONS": {"bad", "good"}} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			id := w.begin(custom("good"), custom("bad"))
			jobs := w.poll()
			w.acknowledge(jobs["good"])
			w.acknowledge(jobs["bad"])
			w.succeedWith(jobs["good"], nil)
			w.failJob(jobs["bad"])
			w.Expect(w.status(id)).To(Equal(failed))

			again, err := w.RetryStageExecution(RetryRequest{"p", "Build", id, mode})
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(again.PipelineExecutionID).To(Equal(id))
			w.Expect(w.status(id)).To(Equal(inProgress))
			retried := w.poll()
			w.Expect(actionsOf(retried)).To(Equal(want))
			w.Expect(retried["bad"].Data.PipelineContext.Action.ActionExecutionID).NotTo(Equal(jobs["bad"].Data.PipelineContext.Action.ActionExecutionID))
			for _, j := range retried {
				w.acknowledge(j)
				w.succeedWith(j, nil)
			}
			w.Expect(w.status(id)).To(Equal(succeeded))

			request := ListActionsRequest{PipelineName: "p"}
			all, err := w.ListActionExecutions(request)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(all.Details).To(HaveLen(3 + len(want)))
			request.Filter.LatestInPipelineExecution.PipelineExecutionID = id
			request.Filter.LatestInPipelineExecution.StartTimeRange = "Latest"
			latest, err := w.ListActionExecutions(request)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(latest.Details).To(HaveLen(3))
		})
	}
}

func TestRetryIsRefused(t *testing.T) {
	w := newWorld(t)
	_, err := w.RetryStageExecution(RetryRequest{PipelineName: "p"})
	w.expectCode(err, "PipelineNotFoundException")
	id := w.begin(custom("b"))
	for stage, code := range map[string]string{"None": "StageNotFoundException", "Build": "StageNotRetryableException", "Source": "StageNotRetryableException"} {
		_, err = w.RetryStageExecution(RetryRequest{"p", stage, id, "FAILED_ACTIONS"})
		w.expectCode(err, code)
	}
	_, err = w.RetryStageExecution(RetryRequest{"p", "Build", newID(), "FAILED_ACTIONS"})
	w.expectCode(err, "StageNotRetryableException")
	w.failJob(w.claim())
	w.start()
	_, err = w.RetryStageExecution(RetryRequest{"p", "Build", id, "FAILED_ACTIONS"})
	w.expectCode(err, "NotLatestPipelineExecutionException")
}
