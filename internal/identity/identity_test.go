package identity

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

const role = "arn:aws:iam::444455556666:role/ci"

func accountOf(roleARN string) *v1alpha1.CodePipelineAccount {
	account := &v1alpha1.CodePipelineAccount{Spec: v1alpha1.CodePipelineAccountSpec{RoleARN: roleARN}}
	account.Name = "shared"
	return account
}

func TestOf(t *testing.T) {
	cases := map[string]struct {
		roleARN, clusterID string
		want               codepipeline.Identity
	}{
		"the operator itself": {"", "here", codepipeline.Identity{Region: "us-east-1"}},
		"a role": {role, "here", codepipeline.Identity{
			Region: "us-east-1", RoleARN: role, ExternalID: "here/team-sec", SessionName: "team-sec.build", MayRegister: true,
		}},
		"a role without the cluster's ID": {
			role, "", codepipeline.Identity{Region: "us-east-1", RoleARN: role, SessionName: "team-sec.build", MayRegister: true},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			caller := Caller{Region: "us-east-1", Namespace: "team-sec", Action: "build", MayRegister: true}
			NewWithT(t).Expect(Of(accountOf(c.roleARN), c.clusterID, caller)).To(Equal(c.want))
		})
	}
}

func TestOfJob(t *testing.T) {
	scheme := runtime.NewScheme()
	NewWithT(t).Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	account := accountOf(role)
	account.Status.Namespaces, account.Status.Regions = []string{"team-a"}, []v1alpha1.Region{"us-east-1"}
	resolver := Resolver{fake.NewClientBuilder().WithScheme(scheme).WithObjects(account).Build(), "here"}
	cases := map[string]struct {
		account, namespace string
		region             v1alpha1.Region
		refusal            string
	}{
		"of a namespace that the account works for": {"shared", "team-a", "us-east-1", ""},
		"of another namespace":                      {"shared", "team-b", "us-east-1", "no grant of CodePipelineAccount shared is for namespace team-b: the platform team can add one"},
		"in another region":                         {"shared", "team-a", "eu-west-1", "CodePipelineAccount shared is not for region eu-west-1: the platform team can add it"},
		"of an account that is not there":           {"other", "team-a", "us-east-1", `there is no CodePipelineAccount "other": the platform team can create it`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			job := &v1alpha1.PipelineJob{Spec: v1alpha1.PipelineJobSpec{AccountRef: v1alpha1.AccountReference{Name: c.account}, Region: c.region, ActionRef: v1alpha1.ActionReference{Name: "work"}}}
			job.Namespace = c.namespace
			id, err := resolver.OfJob(t.Context(), job)
			if c.refusal == "" {
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(id).To(Equal(codepipeline.Identity{Region: "us-east-1", RoleARN: role, ExternalID: "here/team-a", SessionName: "team-a.work"}))
				return
			}
			g.Expect(err).To(MatchError(c.refusal))
			g.Expect(id).To(BeZero())
		})
	}
}
