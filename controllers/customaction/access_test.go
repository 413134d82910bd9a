package customaction

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/grants"
)

// TestAccountThatIsDeletedNamesNoOthers deletes an account whose ID is not known, and whose
// condition names its users.
func TestAccountThatIsDeletedNamesNoOthers(t *testing.T) {
	g := NewWithT(t)
	action := &v1alpha1.CustomAction{}
	action.Namespace, action.Spec.AccountRef.Name = "team-web", "shared"
	account := &v1alpha1.CodePipelineAccount{}
	account.Name, account.DeletionTimestamp = "shared", &metav1.Time{Time: time.Now()}
	account.Spec.Regions = []v1alpha1.Region{"us-east-1"}
	account.Spec.Grants = []v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Names: []string{"team-web"}}}}
	account.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInUse,
		Message: "being deleted: it is used by CustomAction team-secret/payroll",
	}}
	found := decideAccess(action, account, grants.Namespace{Name: "team-web"})
	g.Expect(found.refused.reason).To(Equal(v1alpha1.ReasonAccountNotReady))
	g.Expect(found.refused.message).To(Equal("CodePipelineAccount shared is being deleted: name another one in spec.accountRef"))
}

// TestNoCallsWithARoleThatIsNotProven: the role may belong to another AWS account, which has
// neither the jobs nor the action type.
func TestNoCallsWithARoleThatIsNotProven(t *testing.T) {
	const before, now = "arn:aws:iam::111122223333:role/ci", "arn:aws:iam::444455556666:role/ci"
	for role, works := range map[string]bool{before: true, now: false} {
		g := NewWithT(t)
		action := &v1alpha1.CustomAction{Spec: v1alpha1.CustomActionSpec{DeletionPolicy: v1alpha1.DeletionDelete, Registration: v1alpha1.RegistrationManaged}}
		action.Namespace, action.Spec.AccountRef.Name = "team-web", "shared"
		account := &v1alpha1.CodePipelineAccount{}
		account.Name, account.Spec.RoleARN, account.Spec.Regions = "shared", role, []v1alpha1.Region{"us-east-1"}
		account.Spec.Grants = []v1alpha1.Grant{{Namespaces: v1alpha1.GrantedNamespaces{Names: []string{"team-web"}}, MayRegister: true}}
		account.Status = v1alpha1.CodePipelineAccountStatus{
			AccountID: "111122223333", ProvenRoleARN: before, Namespaces: []string{"team-web"}, Regions: account.Spec.Regions,
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Message: "no answer"}},
		}
		found := decideAccess(action, account, grants.Namespace{Name: "team-web"})
		g.Expect(found.works("team-web")).To(Equal(works), role)
		if !works {
			decided, why, err := (&Reconciler{}).decideRelease(t.Context(), action, found)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(decided).To(Equal(awaitProof), "the role is not used to look for the action type either")
			g.Expect(why).To(Equal("the AWS account of CodePipelineAccount shared is not known yet: its condition Ready says why"))
		}
	}
}
