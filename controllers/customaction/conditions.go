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

// observation is all that the conditions of a CustomAction are made from.
type observation struct {
	now time.Time
	// pending is what AWS is being asked for, before the rest is known.
	pending string
	// access is where the action may take jobs.
	access access
	// examined is what the status has when access is not in order.
	examined examined
	// taken is in order unless another object takes the same jobs.
	taken finding
	// former says where jobs are awaited that were taken before the action moved; empty if
	// there are none.
	former string
	// poll is the zero value while nothing is polled.
	poll poller.Health
}

// mayPoll reports whether jobs are to be polled for. A job that is not polled
// stays queued in CodePipeline, so nothing is lost while the object is wrong.
func (o observation) mayPoll(action *v1alpha1.CustomAction) bool {
	_, wrong := o.wrong()
	return !wrong && !action.Spec.Suspend
}

func (o observation) wrong() (finding, bool) {
	if o.access.refused.err != nil {
		return o.access.refused, true
	}
	if wrong, is := o.examined.wrong(); is {
		return wrong, true
	}
	return o.taken, o.taken.err != nil
}

// conditionsOf gives the conditions Registered, Polling and, last, Ready.
func conditionsOf(action *v1alpha1.CustomAction, o observation) []metav1.Condition {
	registered := registeredCondition(o)
	polling := pollingCondition(action, o)
	polling.Message += o.former
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue,
		Reason: v1alpha1.ReasonReady, Message: "the action type is registered and polled for"}
	for _, part := range []metav1.Condition{registered, polling} {
		if part.Status != metav1.ConditionTrue {
			ready.Status, ready.Reason, ready.Message = part.Status, part.Reason, part.Message
			break
		}
	}
	// A suspended action is as it was asked to be.
	if action.Spec.Suspend && registered.Status == metav1.ConditionTrue {
		ready.Status = metav1.ConditionTrue
	}
	return []metav1.Condition{registered, polling, ready}
}

// abnormalOf gives the condition of kstatus that holds while the object is not
// ready: Reconciling, or Stalled when trying again can't help. It has no type
// when there is none.
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

// pollGrace is how long polls may fail for what passes by itself before the
// object is not ready: a throttled poll shall not end a roll-out.
const pollGrace = time.Minute

func pollingCondition(action *v1alpha1.CustomAction, o observation) metav1.Condition {
	condition := metav1.Condition{Type: v1alpha1.ConditionPolling, Status: metav1.ConditionFalse}
	wrong, is := o.wrong()
	switch {
	case is && wrong.err == o.examined.registration.err: //nolint:errorlint // it is the very same
		condition.Reason, condition.Message = v1alpha1.ReasonNotRegistered, "not polled for before the action type is registered"
	case is:
		condition.Reason, condition.Message = wrong.reason, wrong.message
	case action.Spec.Suspend:
		condition.Reason, condition.Message = v1alpha1.ReasonSuspended, "spec.suspend is true: no new jobs are taken"
	case o.poll.Err != nil:
		condition.Reason, condition.Message = pollReason(o.poll.Err), explain(action, o.poll.Err)
		if condition.Reason == v1alpha1.ReasonAWSUnavailable && !o.poll.LastPoll.IsZero() && o.now.Sub(o.poll.FailingSince) < pollGrace {
			condition.Status, condition.Reason = metav1.ConditionTrue, v1alpha1.ReasonPolling
			condition.Message = "the last poll failed, and is tried again: " + condition.Message
		}
	case o.poll.Full:
		condition.Status, condition.Reason = metav1.ConditionTrue, v1alpha1.ReasonAtCapacity
		condition.Message = "not polled for while as many jobs are in flight as may be: spec.polling.maxConcurrentJobs of this action, or --max-concurrent-jobs of the operator"
	case o.poll.LastPoll.IsZero():
		condition.Status, condition.Reason, condition.Message = metav1.ConditionUnknown, v1alpha1.ReasonPolling, "the first poll is under way"
	default:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionTrue, v1alpha1.ReasonPolling, "CodePipeline answers polls"
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

// setActionConditions sets those of an observation, and takes away those of
// kstatus that no longer hold.
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

// setActionCondition keeps line feeds: several faults of a template are a line each.
func setActionCondition(status *v1alpha1.CustomActionStatus, condition metav1.Condition) {
	condition.Message = limits.Cut(plaintext.Of(condition.Message), limits.ConditionMessage)
	meta.SetStatusCondition(&status.Conditions, condition)
}
