package pipelinejob

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestLogRule: the stricter of the CustomAction's rule and the account's applies, and the
// message names who set it.
func TestLogRule(t *testing.T) {
	const ofAction, ofAccount = "spec.failureLog of the CustomAction", "spec.failureLog of the CodePipelineAccount"
	for name, c := range map[string]struct {
		action, account v1alpha1.FailureLog
		want            logRule
	}{
		"none is set":            {"", "", logRule{v1alpha1.FailureLogAlways, ofAction}},
		"the action's":           {v1alpha1.FailureLogNever, "", logRule{v1alpha1.FailureLogNever, ofAction}},
		"the action's, stricter": {v1alpha1.FailureLogNever, v1alpha1.FailureLogNoSecrets, logRule{v1alpha1.FailureLogNever, ofAction}},
		"both":                   {v1alpha1.FailureLogNoSecrets, v1alpha1.FailureLogNoSecrets, logRule{v1alpha1.FailureLogNoSecrets, ofAction}},
		"the account's":          {"", v1alpha1.FailureLogNever, logRule{v1alpha1.FailureLogNever, ofAccount}},
		"the account's, looser":  {v1alpha1.FailureLogNoSecrets, v1alpha1.FailureLogAlways, logRule{v1alpha1.FailureLogNoSecrets, ofAction}},
	} {
		t.Run(name, func(t *testing.T) {
			action := &v1alpha1.CustomAction{Spec: v1alpha1.CustomActionSpec{FailureLog: c.action}}
			account := &v1alpha1.CodePipelineAccount{Spec: v1alpha1.CodePipelineAccountSpec{FailureLog: c.account}}
			NewWithT(t).Expect(logRuleOf(action, account)).To(Equal(c.want))
		})
	}
	NewWithT(t).Expect(logRuleOf(nil, &v1alpha1.CodePipelineAccount{}).rule).To(Equal(v1alpha1.FailureLogNever), "its rule is unknown")
	NewWithT(t).Expect(logRuleOf(&v1alpha1.CustomAction{}, nil).rule).To(Equal(v1alpha1.FailureLogNever), "its rule is unknown")
}
