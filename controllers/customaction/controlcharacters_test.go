package customaction

import (
	"net/http"
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestWebhooksWriteNoLinesOfTheirOwn has a webhook whose message moves the cursor, sets the
// terminal's title and starts another line.
func TestWebhooksWriteNoLinesOfTheirOwn(t *testing.T) {
	g := NewWithT(t)
	answer := &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusBadRequest,
		Message: "admission webhook \"x\" denied the request: no\x1b[2J\x1b]0;owned\x07\r\nReady"}}
	found := judge(&v1alpha1.CustomAction{}, &batchv1.Job{}, kindJobs, answer)
	status := &v1alpha1.CustomActionStatus{}
	setActionCondition(status, metav1.Condition{Type: v1alpha1.ConditionReady, Message: found.message})
	g.Expect(status.Conditions[0].Message).To(ContainSubstring(`denied the request: no Ready. `))
}

func TestConditionsHaveNoControlCharacters(t *testing.T) {
	g := NewWithT(t)
	status := &v1alpha1.CustomActionStatus{}
	setActionCondition(status, metav1.Condition{Type: v1alpha1.ConditionReady, Message: "spec.a: no\x1b[2J\x07\nspec.b: no"})
	g.Expect(status.Conditions[0].Message).To(Equal("spec.a: no\nspec.b: no"))
}
