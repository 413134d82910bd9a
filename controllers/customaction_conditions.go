package controllers

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
)

// observation is all that the conditions of a CustomAction are made from.
type observation struct {
	// invalid is what is wrong with spec.jobTemplate, nil when nothing is.
	invalid error
	// registration is the zero value when invalid is set: nothing was tried.
	registration registration
	// poll is the zero value while nothing is polled.
	poll poller.Health
}

// mayPoll says whether jobs are to be polled for. A job that is not polled
// stays queued in CodePipeline, so nothing is lost while the object is wrong.
func (o observation) mayPoll(action *v1alpha1.CustomAction) bool {
	return o.invalid == nil && o.registration.err == nil && !action.Spec.Suspend
}

// conditionsOf gives the conditions Registered, Polling and Ready.
func conditionsOf(action *v1alpha1.CustomAction, o observation) []metav1.Condition {
	registered := registeredCondition(o)
	polling := pollingCondition(action, o)
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

func registeredCondition(o observation) metav1.Condition {
	condition := metav1.Condition{Type: v1alpha1.ConditionRegistered, Status: metav1.ConditionTrue,
		Reason: o.registration.reason, Message: o.registration.message}
	switch {
	case o.invalid != nil:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate, o.invalid.Error()
	case o.registration.err != nil:
		condition.Status = metav1.ConditionFalse
	}
	return condition
}

func pollingCondition(action *v1alpha1.CustomAction, o observation) metav1.Condition {
	condition := metav1.Condition{Type: v1alpha1.ConditionPolling, Status: metav1.ConditionFalse}
	switch {
	case o.invalid != nil:
		condition.Reason, condition.Message = v1alpha1.ReasonInvalidJobTemplate, o.invalid.Error()
	case o.registration.err != nil:
		condition.Reason, condition.Message = v1alpha1.ReasonNotRegistered, "not polled for before the action type is registered"
	case action.Spec.Suspend:
		condition.Reason, condition.Message = v1alpha1.ReasonSuspended, "spec.suspend is true"
	case o.poll.Err != nil:
		condition.Reason, condition.Message = pollReason(o.poll.Err), o.poll.Err.Error()
	case o.poll.LastPoll.IsZero():
		condition.Status, condition.Reason, condition.Message = metav1.ConditionUnknown, v1alpha1.ReasonPolling, "the first poll is under way"
	default:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionTrue, v1alpha1.ReasonPolling, "CodePipeline answers polls"
	}
	return condition
}

func pollReason(err error) string {
	switch codepipeline.KindOf(err) {
	case codepipeline.ActionTypeNotFound:
		return v1alpha1.ReasonActionTypeNotFound
	case codepipeline.AccessDenied:
		return v1alpha1.ReasonAccessDenied
	case codepipeline.Throttled, codepipeline.Unclear:
		return v1alpha1.ReasonAWSUnavailable
	default:
		return v1alpha1.ReasonPollFailed
	}
}

func setActionCondition(status *v1alpha1.CustomActionStatus, condition metav1.Condition) {
	condition.Message = codepipeline.Cut(condition.Message, maxConditionMessage)
	meta.SetStatusCondition(&status.Conditions, condition)
}
