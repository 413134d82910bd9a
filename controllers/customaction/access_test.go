package customaction

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/grants"
)

// TestAccountThatIsDeletedNamesNoOthers has an account go whose ID is not known, and whose
// condition names those who use it.
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
