package account

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

const east, west = v1alpha1.Region("us-east-1"), v1alpha1.Region("us-west-2")

// sharedWith returns an account that grants access to namespaces by name.
func sharedWith(names ...string) *v1alpha1.CodePipelineAccount {
	account := &v1alpha1.CodePipelineAccount{ObjectMeta: metav1.ObjectMeta{Name: "shared", Generation: 1}}
	account.Spec.Regions = []v1alpha1.Region{east}
	account.Spec.Grants = []v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Names: names}}}
	return account
}

func actionIn(namespace string) v1alpha1.CustomAction {
	return v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Name: "work", Namespace: namespace}}
}

func jobIn(namespace string, region v1alpha1.Region) v1alpha1.PipelineJob {
	job := v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Name: "work-1", Namespace: namespace}}
	job.Spec.Region = region
	return job
}

// TestNamespacesForWhichCallsAreMade: access begins with a grant and a CustomAction, and ends with
// the last job. Without a grant, a PipelineJob gives no access. Namespaces without access don't use
// the account.
func TestNamespacesForWhichCallsAreMade(t *testing.T) {
	one, two, job := []v1alpha1.CustomAction{actionIn("a")}, []v1alpha1.CustomAction{actionIn("a"), actionIn("a")}, []v1alpha1.PipelineJob{jobIn("a", east)}
	for name, c := range map[string]struct {
		granted, before []string
		actions         []v1alpha1.CustomAction
		jobs            []v1alpha1.PipelineJob
		want            []string
		users           string
	}{
		"no one uses it":                          {[]string{"a"}, nil, nil, nil, nil, ""},
		"an action with a grant":                  {[]string{"a"}, nil, two, nil, []string{"a"}, "CustomAction a/work, CustomAction a/work"},
		"an action without":                       {[]string{"b"}, nil, one, nil, nil, ""},
		"a grant that was withdrawn":              {nil, []string{"a"}, one, nil, nil, "CustomAction a/work"},
		"one that was withdrawn, with a job":      {nil, []string{"a"}, one, job, []string{"a"}, "CustomAction a/work, PipelineJob a/work-1"},
		"a job in a namespace without access":     {nil, []string{"b"}, nil, job, nil, ""},
		"a job, with a grant, and without action": {[]string{"a"}, nil, nil, job, []string{"a"}, "PipelineJob a/work-1"},
	} {
		t.Run(name, func(t *testing.T) {
			g, account := NewWithT(t), sharedWith(c.granted...)
			account.Status.Namespaces = c.before
			used := usageOf(account, c.actions, c.jobs, nil)
			g.Expect(used.namespaces()).To(Equal(c.want))
			g.Expect(used.String()).To(Equal(c.users))
		})
	}
}

// TestNamespacesAreGrantedByLabel reads the labels of the action's namespace.
func TestNamespacesAreGrantedByLabel(t *testing.T) {
	account := sharedWith()
	account.Spec.Grants[0].Namespaces = v1alpha1.GrantedNamespaces{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}}
	used := usageOf(account, []v1alpha1.CustomAction{actionIn("a"), actionIn("b"), actionIn("c")}, nil,
		map[string]map[string]string{"a": {"team": "a"}, "b": {"team": "b"}})
	NewWithT(t).Expect(used.namespaces()).To(Equal([]string{"a"}))
}

// TestNamespacesOfJobsAreGrantedByLabel: no CustomAction names the account any longer, and the
// account has no status.
func TestNamespacesOfJobsAreGrantedByLabel(t *testing.T) {
	account := sharedWith()
	account.Spec.Grants[0].Namespaces = v1alpha1.GrantedNamespaces{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}}
	used := usageOf(account, nil, []v1alpha1.PipelineJob{jobIn("a", east), jobIn("b", east)}, map[string]map[string]string{"a": {"team": "a"}, "b": {"team": "b"}})
	NewWithT(t).Expect(used.namespaces()).To(Equal([]string{"a"}))
	NewWithT(t).Expect(used.String()).To(Equal("PipelineJob a/work-1"))
}

func TestRegionsInWhichCallsAreMade(t *testing.T) {
	g := NewWithT(t)
	account := sharedWith("a")
	g.Expect(usage{}.regions(account)).To(Equal([]v1alpha1.Region{east}))
	jobs := usage{jobs: []v1alpha1.PipelineJob{jobIn("a", west)}}
	g.Expect(jobs.regions(account)).To(Equal([]v1alpha1.Region{east}), "a job gives no access")
	account.Status.Regions = []v1alpha1.Region{east, west}
	g.Expect(jobs.regions(account)).To(Equal([]v1alpha1.Region{east, west}), "it was taken there before")
	g.Expect(usage{}.regions(account)).To(Equal([]v1alpha1.Region{east}))
}

func TestReadyCondition(t *testing.T) {
	goes := sharedWith("a")
	goes.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	var many usage
	for n := range 12 {
		many.actions = append(many.actions, actionIn(fmt.Sprintf("team-%02d", n)))
	}
	invalid := sharedWith("a")
	invalid.Spec.Grants = append(invalid.Spec.Grants, v1alpha1.Grant{Namespaces: v1alpha1.GrantedNamespaces{Selector: &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: metav1.LabelSelectorOpIn}},
	}}})
	for name, c := range map[string]struct {
		account *v1alpha1.CodePipelineAccount
		used    usage
		proven  proof
		status  metav1.ConditionStatus
		reason  string
		message string
	}{
		"AWS was not asked":   {sharedWith(), usage{}, proof{}, unknown, v1alpha1.ReasonProving, "AWS is being asked for the account's ID"},
		"AWS has told":        {sharedWith(), usage{}, proof{accountID: "111122223333"}, isTrue, v1alpha1.ReasonProven, "AWS returned the account's ID, 111122223333"},
		"AWS told, and fails": {sharedWith(), usage{}, proof{accountID: "111122223333", reason: v1alpha1.ReasonCredentialsUnavailable, failed: "AccessDenied:\nno"}, isFalse, v1alpha1.ReasonCredentialsUnavailable, "AWS did not return the account's ID: AccessDenied: no"},
		"a grant is invalid": {
			invalid, usage{}, proof{accountID: "111122223333"}, isFalse, v1alpha1.ReasonInvalidGrant,
			"invalid selectors, whose grants give no namespace access until they are corrected: spec.grants[1].namespaces.selector.matchExpressions[0].values: " +
				"Required value: must be specified when `operator` is 'In' or 'NotIn'. The other grants count",
		},
		"a grant is invalid, and AWS was not asked": {invalid, usage{}, proof{}, unknown, v1alpha1.ReasonProving, "AWS is being asked for the account's ID"},
		"a grant is invalid, and AWS fails": {
			invalid, usage{}, proof{reason: v1alpha1.ReasonAWSUnavailable, failed: "no answer"},
			isFalse, v1alpha1.ReasonAWSUnavailable, "AWS did not return the account's ID: no answer",
		},
		"deleted, and used": {
			goes, usage{actions: []v1alpha1.CustomAction{actionIn("b")}, jobs: []v1alpha1.PipelineJob{jobIn("a", east)}}, proof{accountID: "111122223333"},
			isFalse, v1alpha1.ReasonInUse, "being deleted: it is used by CustomAction b/work, PipelineJob a/work-1. It is deleted when they are gone, or name another account",
		},
		"deleted, and used by many": {goes, many, proof{}, isFalse, v1alpha1.ReasonInUse, "being deleted: it is used by CustomAction team-00/work, " +
			strings.Join([]string{"CustomAction team-01/work", "CustomAction team-02/work", "CustomAction team-03/work", "CustomAction team-04/work", "CustomAction team-05/work", "CustomAction team-06/work", "CustomAction team-07/work", "CustomAction team-08/work", "CustomAction team-09/work"}, ", ") +
			" and 2 more. It is deleted when they are gone, or name another account"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(readyCondition(c.account, c.used, c.proven)).To(Equal(metav1.Condition{
				Type: v1alpha1.ConditionReady, Status: c.status, Reason: c.reason, Message: c.message,
			}))
		})
	}
}

func TestThrottledCondition(t *testing.T) {
	g, now := NewWithT(t), time.Now()
	g.Expect(throttledCondition(time.Time{}, now).Status).To(Equal(isFalse))
	g.Expect(throttledCondition(now.Add(-throttledFor), now).Status).To(Equal(isFalse))
	g.Expect(throttledCondition(now.Add(time.Second-throttledFor), now)).To(And(
		HaveField("Status", isTrue), HaveField("Reason", v1alpha1.ReasonThrottling)))
}
