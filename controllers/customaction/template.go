package customaction

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
)

// checkTemplate finds out, before there is a job, whether the API server would
// take the Jobs that are made of the template.
func (r *Reconciler) checkTemplate(ctx context.Context, action *v1alpha1.CustomAction) finding {
	if err := jobspec.Validate(action); err != nil {
		return invalidTemplate(err)
	}
	job, err := jobspec.DryRunJob(action, r.JobOptions)
	if err != nil {
		return invalidTemplate(err)
	}
	return judge(action, r.Create(ctx, job, client.DryRunAll))
}

// judge tells what is wrong with a template from what will pass.
func judge(action *v1alpha1.CustomAction, answer error) finding {
	var status apierrors.APIStatus
	switch {
	case answer == nil, apierrors.IsAlreadyExists(answer):
		return finding{}
	case apierrors.IsBadRequest(answer) && strings.Contains(answer.Error(), "does not support dry run"):
		return finding{} // a webhook that can't be asked; each Job will be
	case apierrors.IsForbidden(answer) && strings.Contains(answer.Error(), "exceeded quota"):
		return finding{} // a quota that is used up now has room later
	case errors.As(answer, &status) && apierrors.IsInvalid(answer) && status.Status().Details != nil:
		if refusal := jobspec.Refusal(action, status.Status().Details.Causes); refusal != nil {
			return invalidTemplate(refusal)
		}
		return finding{}
	case !isRefusal(answer):
		err := fmt.Errorf("the API server did not say whether it would take the Jobs of this action: %w", answer)
		return finding{reason: v1alpha1.ReasonAPIServerUnavailable, message: err.Error(), err: err, retry: true}
	default:
		err := fmt.Errorf("the cluster would refuse the Jobs of this action: %w", answer)
		return finding{reason: v1alpha1.ReasonJobRefused, message: err.Error(), err: err, retry: true}
	}
}

// isRefusal reports whether the API server answered, and its answer is no. A time-out, a
// server fault, too many requests or a token that has expired say nothing of the Job.
func isRefusal(answer error) bool {
	var status apierrors.APIStatus
	if !errors.As(answer, &status) {
		return false // there was no answer
	}
	switch code := status.Status().Code; code {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	default:
		return code >= http.StatusBadRequest && code < http.StatusInternalServerError
	}
}

func invalidTemplate(err error) finding {
	return finding{reason: v1alpha1.ReasonInvalidJobTemplate, message: err.Error(), err: err}
}
