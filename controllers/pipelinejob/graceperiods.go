package pipelinejob

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
)

// gracePeriodsOf returns the grace periods for the jobs of a CustomAction: the defaults, and
// what it sets instead. Pass nil if it is gone. By default, a run waits for a quota for as
// long as the action may take.
func gracePeriodsOf(action *v1alpha1.CustomAction, actionTimeout time.Duration) diagnosis.GracePeriods {
	periods := diagnosis.DefaultGracePeriods
	periods.Quota = actionTimeout
	if action == nil {
		return periods
	}
	replace(&periods.Quota, action.Spec.Timeout)
	if given := action.Spec.GracePeriods; given != nil {
		replace(&periods.Image, given.ImagePull)
		replace(&periods.Schedule, given.Scheduling)
		replace(&periods.Start, given.Start)
		replace(&periods.Node, given.Node)
	}
	return periods
}

func replace(period *time.Duration, given *metav1.Duration) {
	if given != nil {
		*period = given.Duration
	}
}
