package customaction

import (
	"context"
	"errors"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/bounds"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/plaintext"
)

// The dry run of a pod needs the permission to create pods: RBAC can't restrict it to dry runs. The
// operator creates no pods, and the permission to create Jobs gives as much access.
//
// +kubebuilder:rbac:groups="",resources=pods,verbs=create

// checkTemplate checks, before there is a job, whether the API server would accept the Jobs of the
// template, and their pods. In the places of references, the template may refer to values that a
// pipeline controls.
func (r *Reconciler) checkTemplate(ctx context.Context, action *v1alpha1.CustomAction, references []v1alpha1.ReferencePlace) finding {
	if why, is := bounds.TooLarge(action); is {
		return finding{reason: v1alpha1.ReasonTooLarge, message: why, err: errors.New(why)}
	}
	options := r.JobOptions
	options.AllowReferencesIn = references
	if err := jobspec.Validate(action, references); err != nil {
		return invalidTemplate(err)
	}
	job, err := jobspec.DryRunJob(action, options)
	if err != nil {
		return invalidTemplate(err)
	}
	if found := judge(action, job, kindJobs, r.Create(ctx, job, client.DryRunAll)); found.err != nil {
		return found
	}
	answer := r.Create(ctx, jobspec.DryRunPod(job), client.DryRunAll)
	if diagnosis.AnswerOf(answer) == diagnosis.AnswerNotPermitted {
		r.noPodDryRun.Do(func() {
			logf.FromContext(ctx).Info("Pods are not checked by a dry run, which needs the permission to create pods: if the cluster refuses them, only the first job shows it", "answer", answer.Error())
		})
		return finding{}
	}
	return judge(action, job, kindPods, answer)
}

// Kinds of objects that are checked by a dry run.
const (
	kindJobs = "Jobs"
	kindPods = "pods"
)

// judge distinguishes errors of a template from temporary failures. tried is the Job of the dry run,
// and kind is the object that was sent: that Job, or a pod of it.
func judge(action *v1alpha1.CustomAction, tried *batchv1.Job, kind string, answer error) finding {
	switch diagnosis.AnswerOf(answer) {
	case diagnosis.AnswerTaken:
		return finding{}
	case diagnosis.AnswerNoDryRun: // the webhook is called for each real Job and pod
		return finding{}
	case diagnosis.AnswerQuotaExceeded: // temporary: other Jobs end
		return finding{}
	case diagnosis.AnswerInvalid:
		return invalid(action, tried, kind, answer)
	case diagnosis.AnswerNone:
		err := fmt.Errorf("the API server did not complete the dry run of the %s of this action: %w", kind, answer)
		return finding{reason: v1alpha1.ReasonAPIServerUnavailable, message: plaintext.OneLine(err.Error()), err: err, retry: true}
	case diagnosis.AnswerNotPermitted:
		return refused(kind, answer, "Give the operator that permission")
	default:
		if jobspec.MayBeOfSample(action, answer.Error()) {
			return finding{}
		}
		return refused(kind, answer, diagnosis.WayOut(answer.Error(), tried.Spec.Template.Spec))
	}
}

func refused(kind string, answer error, wayOut string) finding {
	err := fmt.Errorf("the cluster would refuse the %s of this action: %w", kind, answer)
	message := strings.TrimRight(plaintext.OneLine(err.Error()), " .") + ". " + wayOut
	return finding{reason: v1alpha1.ReasonJobRefused, message: message, err: err, retry: true}
}

func invalid(action *v1alpha1.CustomAction, tried *batchv1.Job, kind string, answer error) finding {
	var status apierrors.APIStatus
	if !errors.As(answer, &status) || !apierrors.IsInvalid(answer) {
		return invalidTemplate(answer)
	}
	if refusal := jobspec.Refusal(action, tried, kind == kindPods, status.Status().Details.Causes); refusal != nil {
		return invalidTemplate(refusal)
	}
	return finding{}
}

func invalidTemplate(err error) finding {
	return finding{reason: v1alpha1.ReasonInvalidJobTemplate, message: err.Error(), err: err}
}
