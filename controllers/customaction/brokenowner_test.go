package customaction

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// TestBrokenObjectIsOwnerByItsTagsOnly has an object with a mistake in its template claim in its
// status to own the action type: the tags were changed since, or the status was written by a user.
// As the owner, it would keep the jobs from all others.
func TestBrokenObjectIsOwnerByItsTagsOnly(t *testing.T) {
	const cluster = "here"
	of := func(namespace, name string) map[string]string {
		return map[string]string{v1alpha1.TagCluster: cluster, v1alpha1.TagNamespace: namespace, v1alpha1.TagName: name}
	}
	for name, c := range map[string]struct {
		tags    map[string]string
		down    bool
		want    v1alpha1.ActionTypeOwner
		foreign bool
	}{
		"its own tags":                {of("team", "work"), false, v1alpha1.OwnerThis, false},
		"another one's of the team":   {of("team", "two"), false, v1alpha1.OwnerOther, false},
		"another team's":              {of("foe", "work"), false, v1alpha1.OwnerOther, true},
		"no tags":                     {map[string]string{}, false, v1alpha1.OwnerNone, false},
		"no action type":              {nil, false, "", false},
		"tags that can't be read now": {of("team", "two"), true, v1alpha1.OwnerThis, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			aws := emulator.StartT(t, emulator.Options{})
			clients := codepipeline.NewClients(codepipeline.ClientsOptions{}, config.WithBaseEndpoint(aws.URL()), config.WithRetryMaxAttempts(1),
				config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
			account := harness.NewAccount("team")
			harness.InUse(account, "team")
			action := harness.NewAction("team", func(a *v1alpha1.CustomAction) {
				a.Spec.JobTemplate.Spec.Template.Spec.Containers = nil
				a.Status.AccountID, a.Status.Region, a.Status.ActionTypeOwner = account.Status.AccountID, "us-east-1", v1alpha1.OwnerThis
			})
			if c.tags != nil {
				api, err := clients.For(t.Context(), codepipeline.Identity{Region: "us-east-1"})
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(api.CreateActionType(t.Context(), actionTypeOf(action), c.tags)).To(Succeed())
			}
			if c.down {
				g.Expect(aws.Inject(emulator.Fault{Operation: "ListTagsForResource", Kind: emulator.AccessDenied, Probability: 1})).To(Succeed())
			}
			r := &Reconciler{AWS: clients, ClusterID: cluster, Clock: clocktesting.NewFakePassiveClock(time.Now())}
			found := r.examine(t.Context(), action, access{account: account, region: "us-east-1"})
			g.Expect(found.template.reason).To(Equal(v1alpha1.ReasonInvalidJobTemplate))
			g.Expect(found.owner).To(Equal(c.want))
			g.Expect(found.foreign).To(Equal(c.foreign))
		})
	}
}
