package account

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/grants"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/plaintext"
)

type conditionOf = metav1.Condition

const (
	isTrue  = metav1.ConditionTrue
	isFalse = metav1.ConditionFalse
	unknown = metav1.ConditionUnknown
)

// usage has the users of an account.
type usage struct {
	actions []v1alpha1.CustomAction
	// jobs are the PipelineJobs that CodePipeline may hand out.
	jobs []v1alpha1.PipelineJob
	// granted are the namespaces of actions and jobs that have a grant.
	granted []string
}

// usageOf leaves out objects in namespaces that have neither a grant nor jobs from when they had
// one, because anyone who may write a CustomAction can name any account.
func usageOf(account *v1alpha1.CodePipelineAccount, actions []v1alpha1.CustomAction, jobs []v1alpha1.PipelineJob, labels map[string]map[string]string) usage {
	var used usage
	for _, name := range namespacesOf(actions, jobs) {
		if grants.Selects(account, grants.Namespace{Name: name, Labels: labels[name]}) {
			used.granted = append(used.granted, name)
		}
	}
	for i := range jobs {
		if of := jobs[i].Namespace; slices.Contains(used.granted, of) || slices.Contains(account.Status.Namespaces, of) {
			used.jobs = append(used.jobs, jobs[i])
		}
	}
	for i := range actions {
		if of := actions[i].Namespace; slices.Contains(used.granted, of) || slices.Contains(account.Status.Namespaces, of) {
			used.actions = append(used.actions, actions[i])
		}
	}
	return used
}

func namespacesOf(actions []v1alpha1.CustomAction, jobs []v1alpha1.PipelineJob) []string {
	var names []string
	for i := range actions {
		names = append(names, actions[i].Namespace)
	}
	for i := range jobs {
		names = append(names, jobs[i].Namespace)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// namespaces returns the namespaces for which calls are made: those of actions and jobs with a
// grant, and previous ones with unreported jobs. Without a grant, a job does not add a namespace:
// otherwise, users who may create PipelineJobs would have access. With a grant it does, because the
// action may have moved to another account, and this one may have been created again.
func (u usage) namespaces() []string {
	names := slices.Clone(u.granted)
	for i := range u.jobs {
		names = append(names, u.jobs[i].Namespace)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// regions returns the regions in which calls are made: those of the spec, and previous ones with
// unreported jobs.
func (u usage) regions(account *v1alpha1.CodePipelineAccount) []v1alpha1.Region {
	regions := slices.Clone(account.Spec.Regions)
	for i := range u.jobs {
		if in := u.jobs[i].Spec.Region; slices.Contains(account.Status.Regions, in) {
			regions = append(regions, in)
		}
	}
	slices.Sort(regions)
	return slices.Compact(regions)
}

// readyCondition reports whether the account can be used as specified. A failure to get the
// account's ID takes precedence over an invalid grant, because it affects all grants.
func readyCondition(account *v1alpha1.CodePipelineAccount, used usage, proven proof) conditionOf {
	ready := conditionOf{Type: v1alpha1.ConditionReady, Status: isFalse}
	invalid := grants.Invalid(account)
	switch {
	case !account.DeletionTimestamp.IsZero():
		ready.Reason, ready.Message = v1alpha1.ReasonInUse, "being deleted: it is used by "+used.String()+". It is deleted when they are gone, or name another account"
	case proven.failed != "":
		ready.Reason, ready.Message = proven.reason, "AWS did not return the account's ID: "+proven.failed
	case proven.accountID != "" && len(invalid) > 0:
		ready.Reason = v1alpha1.ReasonInvalidGrant
		ready.Message = "invalid selectors, whose grants give no namespace access until they are corrected: " + strings.Join(invalid, "; ") + ". The other grants count"
	case proven.accountID != "":
		ready.Status, ready.Reason = isTrue, v1alpha1.ReasonProven
		ready.Message = fmt.Sprintf("AWS returned the account's ID, %s", proven.accountID)
	default:
		ready.Status, ready.Reason, ready.Message = unknown, v1alpha1.ReasonProving, "AWS is being asked for the account's ID"
	}
	ready.Message = limits.Cut(plaintext.OneLine(ready.Message), limits.ConditionMessage)
	return ready
}

// shownUsers is the maximum number of users of an account in a message.
const shownUsers = 10

// String returns the names of the users, for the platform team.
func (u usage) String() string {
	var names []string
	for i := range u.actions {
		names = append(names, fmt.Sprintf("CustomAction %s/%s", u.actions[i].Namespace, u.actions[i].Name))
	}
	for i := range u.jobs {
		names = append(names, fmt.Sprintf("PipelineJob %s/%s", u.jobs[i].Namespace, u.jobs[i].Name))
	}
	if more := len(names) - shownUsers; more > 0 {
		slices.SortFunc(names, cmp.Compare[string])
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shownUsers], ", "), more)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// throttledFor is how long an account counts as throttled after a throttled call.
const throttledFor = 2 * time.Minute

// throttledCondition reports whether AWS throttles calls with the account.
func throttledCondition(at, now time.Time) conditionOf {
	throttled := conditionOf{Type: v1alpha1.ConditionThrottled, Status: isFalse, Reason: v1alpha1.ReasonNotThrottled,
		Message: fmt.Sprintf("no call was throttled within %s", throttledFor)}
	if !at.IsZero() && now.Sub(at) < throttledFor {
		throttled.Status, throttled.Reason = isTrue, v1alpha1.ReasonThrottling
		throttled.Message = fmt.Sprintf("AWS throttled calls within %s, so the operator makes fewer: jobs start and end later. The metric pipelinejob_aws_call_rate shows the rate of each operation", throttledFor)
	}
	return throttled
}
