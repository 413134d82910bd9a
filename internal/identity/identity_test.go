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
	// proven returns an account whose ID AWS returned for the role asked.
	proven := func(name, id, asked string) *v1alpha1.CodePipelineAccount {
		account := accountOf(role)
		account.Name, account.Status.AccountID, account.Status.ProvenRoleARN = name, id, asked
		account.Status.Namespaces, account.Status.Regions = []string{"team-a"}, []v1alpha1.Region{"us-east-1"}
		return account
	}
	accounts := fake.NewClientBuilder().WithScheme(scheme).WithObjects(proven("shared", "444455556666", role),
		proven("new", "", ""), proven("moving", "111122223333", "arn:aws:iam::111122223333:role/ci"), proven("moved", "777788889999", role))
	resolver := Resolver{accounts.Build(), "here"}
	cases := map[string]struct {
		account, namespace string
		region             v1alpha1.Region
		accountID          string
		refusal            string
	}{
		"of a namespace with a grant":       {"shared", "team-a", "us-east-1", "444455556666", ""},
		"without an account ID":             {"shared", "team-a", "us-east-1", "", ""},
		"of another namespace":              {"shared", "team-b", "us-east-1", "444455556666", "no grant of CodePipelineAccount shared applies to namespace team-b: the platform team can add one"},
		"in another region":                 {"shared", "team-a", "eu-west-1", "444455556666", "CodePipelineAccount shared does not include region eu-west-1: the platform team can add it to spec.regions"},
		"of an account that does not exist": {"other", "team-a", "us-east-1", "444455556666", `CodePipelineAccount "other" does not exist: the platform team can create it`},
		"of an account that was not proven": {"new", "team-a", "us-east-1", "444455556666", "the AWS account of CodePipelineAccount new is not known yet: its condition Ready says why"},
		"of an account whose role is new":   {"moving", "team-a", "us-east-1", "111122223333", "the AWS account of CodePipelineAccount moving is not known yet: its condition Ready says why"},
		"of another AWS account than before": {"moved", "team-a", "us-east-1", "444455556666", "CodePipelineAccount moved now uses AWS account 777788889999, and the job belongs to 444455556666: " +
			"the platform team can restore its spec.roleARN until the job is reported, and create another CodePipelineAccount for 777788889999"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			job := &v1alpha1.PipelineJob{Spec: v1alpha1.PipelineJobSpec{AccountRef: v1alpha1.AccountReference{Name: c.account}, Region: c.region, AccountID: c.accountID, ActionRef: v1alpha1.ActionReference{Name: "work"}}}
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
