package diagnosis

import (
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// denied returns the newest event in which the API server refused the pod. It returns nil if there
// is none, or if a pod was created since.
func (e Evidence) denied() *Event {
	object := "Job/" + e.Job.Name
	denied := e.newestEvent(object, "FailedCreate")
	if denied == nil || denied.Last.Before(e.podDue()) {
		return nil
	}
	if created := e.newestEvent(object, "SuccessfulCreate"); created != nil && !denied.Last.After(created.Last) {
		return nil
	}
	return denied
}

func denialMessage(denied *Event) string {
	message := strings.TrimPrefix(denied.Message, "(combined from similar events): ")
	return strings.TrimPrefix(message, "Error creating: ")
}

// denial is a reason for which the API server refuses a pod.
type denial struct {
	// marks are texts that the message must all contain.
	marks []string
	kind  v1alpha1.FailureType
	// waits is true if the pod may be accepted when other pods end.
	waits  bool
	wayOut string
}

// exceededQuota is in the API server's message if a quota is used up.
const exceededQuota = "exceeded quota"

func isQuota(message string) bool { return strings.Contains(message, exceededQuota) }

// IsQuotaExceeded reports whether the API server refused to create an object because a
// quota of its namespace is used up.
func IsQuotaExceeded(err error) bool {
	return apierrors.IsForbidden(err) && isQuota(err.Error())
}

// IsUnfit reports whether the API server will always refuse an object, because it is invalid or too
// large.
func IsUnfit(err error) bool {
	return err != nil && !isDenial(err.Error()) && (apierrors.IsInvalid(err) || isTooLarge(err))
}

// isTooLarge reports whether an object is too large for the API server (3 MiB) or for etcd (1.5 MiB
// by default), whose errors have the status 500.
func isTooLarge(err error) bool {
	if apierrors.IsRequestEntityTooLargeError(err) {
		return true
	}
	text := err.Error()
	return apierrors.ReasonForError(err) != "" &&
		(strings.Contains(text, "etcdserver: request is too large") || strings.Contains(text, "trying to send message larger than max"))
}

// denials are tried in order, from specific to general.
var denials = []denial{
	{[]string{exceededQuota}, v1alpha1.FailureSystemUnavailable, true,
		"Retry the action when others have ended, have the quota raised, or lower resources.requests and limits " + inTemplate},
	{[]string{"failed quota"}, v1alpha1.FailureConfigurationError, false,
		"Set the resources that the quota requires on each step and sidecar " + inTemplate},
	{[]string{"violates PodSecurity"}, v1alpha1.FailurePermissionError, false,
		"Give the steps the securityContext that it requires " + inTemplate + ", or change the namespace's pod-security level"},
	{[]string{"admission webhook"}, v1alpha1.FailurePermissionError, false,
		"Correct what the policy refuses " + inTemplate + ", or have the policy changed"},
	{[]string{"serviceaccount", "not found"}, v1alpha1.FailureConfigurationError, false,
		"Create that service account, or correct serviceAccountName " + inTemplate},
	{[]string{"no PriorityClass"}, v1alpha1.FailureConfigurationError, false,
		"Create that priority class, or correct priorityClassName " + inTemplate},
	{[]string{"RuntimeClass", "not found"}, v1alpha1.FailureConfigurationError, false,
		"Create that runtime class, or correct runtimeClassName " + inTemplate},
	{[]string{"forbidden"}, v1alpha1.FailurePermissionError, false,
		"Correct what is refused " + inTemplate + ", or have the rule changed by those who run the cluster"},
	{[]string{"is invalid"}, v1alpha1.FailureConfigurationError, false,
		"Correct that field " + inTemplate},
	{nil, v1alpha1.FailureSystemUnavailable, true,
		"Retry the action; if it happens again, tell those who run the cluster"},
}

func denialOf(message string) denial {
	at := slices.IndexFunc(denials, func(d denial) bool {
		return !slices.ContainsFunc(d.marks, func(mark string) bool { return !strings.Contains(message, mark) })
	})
	return denials[at]
}
