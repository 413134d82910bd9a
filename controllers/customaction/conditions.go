package customaction

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/plaintext"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
)

// observation has everything that determines the conditions of a CustomAction.
type observation struct {
	now time.Time
	// pending is what the action waits for before anything else is known.
	pending string
	access  access
	// examined comes from the status if access is refused.
	examined examined
	// taken has an error if another object takes the same jobs.
	taken finding
	// former is the part of a message about jobs that were taken before the action moved, and
	// that CodePipeline may hand out again; empty if there are none.
	former string
	// poll is the zero value while the action is not polled.
	poll poller.Health
}

// mayPoll reports whether the operator may poll for new jobs. Jobs that are not polled stay
// queued in CodePipeline, so none is lost while the object is not ready.
func (o observation) mayPoll(action *v1alpha1.CustomAction) bool {
	_, wrong := o.wrong()
	return !wrong && !action.Spec.Suspend
}

// wrong returns the first problem, and reports whether there is one.
func (o observation) wrong() (finding, bool) {
	if o.access.refused.err != nil {
		return o.access.refused, true
	}
	if wrong, is := o.examined.wrong(); is {
		return wrong, true
	}
	return o.taken, o.taken.err != nil
}

// conditionsOf returns the conditions Registered, Polling and, last, Ready.
func conditionsOf(action *v1alpha1.CustomAction, o observation) []metav1.Condition {
	registered := registeredCondition(o)
	polling := pollingCondition(action, o)
	polling.Message += o.former
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue,
		Reason: v1alpha1.ReasonReady, Message: "the action type is registered, and the operator polls for its jobs"}
	for _, part := range []metav1.Condition{registered, polling} {
		if part.Status != metav1.ConditionTrue {
			ready.Status, ready.Reason, ready.Message = part.Status, part.Reason, part.Message
			break
		}
	}
	// A suspended action is in its desired state.
	if action.Spec.Suspend && registered.Status == metav1.ConditionTrue {
		ready.Status = metav1.ConditionTrue
	}
	return []metav1.Condition{registered, polling, ready}
}

// abnormalOf returns the kstatus condition of an object that is not ready: Stalled if trying
// again can't help, otherwise Reconciling. Its type is empty if the object is ready.
func abnormalOf(ready metav1.Condition, o observation) metav1.Condition {
	abnormal := metav1.Condition{Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message}
	wrong, is := o.wrong()
	switch {
	case ready.Status == metav1.ConditionTrue:
		return metav1.Condition{}
	case is && !wrong.retry:
		abnormal.Type = v1alpha1.ConditionStalled
	default:
		abnormal.Type = v1alpha1.ConditionReconciling
	}
	return abnormal
}

func registeredCondition(o observation) metav1.Condition {
	condition := metav1.Condition{Type: v1alpha1.ConditionRegistered, Status: metav1.ConditionTrue,
		Reason: o.examined.registration.reason, Message: o.examined.registration.message}
	if wrong, is := o.wrong(); is {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, wrong.reason, wrong.message
	}
	return condition
}

// pollGrace is how long polls may fail with a temporary error before the object is not ready: a
// throttled poll must not fail a rollout.
const pollGrace = time.Minute

func pollingCondition(action *v1alpha1.CustomAction, o observation) metav1.Condition {
	condition := metav1.Condition{Type: v1alpha1.ConditionPolling, Status: metav1.ConditionFalse}
	wrong, is := o.wrong()
	switch {
	case is && wrong.err == o.examined.registration.err: //nolint:errorlint // the same error, not one of its kind
		condition.Reason, condition.Message = v1alpha1.ReasonNotRegistered, "polling starts when the action type is registered"
	case is:
		condition.Reason, condition.Message = wrong.reason, wrong.message
	case action.Spec.Suspend:
		condition.Reason, condition.Message = v1alpha1.ReasonSuspended, "spec.suspend is true: no new jobs are taken"
	case o.poll.Err != nil:
		condition.Reason, condition.Message = pollReason(o.poll.Err), explain(action, o.poll.Err)
		if condition.Reason == v1alpha1.ReasonAWSUnavailable && !o.poll.LastPoll.IsZero() && o.now.Sub(o.poll.FailingSince) < pollGrace {
			condition.Status, condition.Reason = metav1.ConditionTrue, v1alpha1.ReasonPolling
			condition.Message = "the last poll failed, and the operator tries again: " + condition.Message
		}
	case o.poll.Full:
		condition.Status, condition.Reason = metav1.ConditionTrue, v1alpha1.ReasonAtCapacity
		condition.Message = "polling is paused: the maximum number of jobs is in flight, by spec.polling.maxConcurrentJobs of this action or --max-concurrent-jobs of the operator"
	case o.poll.LastPoll.IsZero():
		condition.Status, condition.Reason, condition.Message = metav1.ConditionUnknown, v1alpha1.ReasonPolling, "the first poll is under way"
	default:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionTrue, v1alpha1.ReasonPolling, "CodePipeline responds to polls"
	}
	return condition
}

func pollReason(err error) string {
	if reason := identity.ReasonOf(err); reason != "" {
		return reason
	}
	if codepipeline.KindOf(err) == codepipeline.ActionTypeNotFound {
		return v1alpha1.ReasonActionTypeNotFound
	}
	return v1alpha1.ReasonPollFailed
}

// setActionConditions sets the conditions of an observation, and removes kstatus conditions that
// no longer apply.
func setActionConditions(status *v1alpha1.CustomActionStatus, action *v1alpha1.CustomAction, o observation) {
	conditions := conditionsOf(action, o)
	for _, condition := range conditions {
		setActionCondition(status, condition)
	}
	abnormal := abnormalOf(conditions[len(conditions)-1], o)
	for _, kind := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if kind != abnormal.Type {
			meta.RemoveStatusCondition(&status.Conditions, kind)
		}
	}
	if abnormal.Type != "" {
		setActionCondition(status, abnormal)
	}
}

// setActionCondition keeps line feeds: each problem of a template has its own line.
func setActionCondition(status *v1alpha1.CustomActionStatus, condition metav1.Condition) {
	condition.Message = limits.Cut(plaintext.Of(condition.Message), limits.ConditionMessage)
	meta.SetStatusCondition(&status.Conditions, condition)
}
