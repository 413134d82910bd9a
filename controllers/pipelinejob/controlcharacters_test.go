package pipelinejob

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

const withControl = "no\x1b[2J\x1b]0;owned\x07\r\nReady"

func TestConditionsAreOneLineWithoutControlCharacters(t *testing.T) {
	g := NewWithT(t)
	status := &v1alpha1.PipelineJobStatus{}
	setCondition(status, v1alpha1.ConditionRunning, metav1.ConditionFalse, v1alpha1.ReasonRetrying, withControl)
	g.Expect(status.Conditions[0].Message).To(Equal("no Ready"))
}

func TestConditionOfTheEndKeepsLines(t *testing.T) {
	g := NewWithT(t)
	status := &v1alpha1.PipelineJobStatus{}
	setEnd(status, v1alpha1.ConditionFailed, v1alpha1.ReasonFailed, withControl)
	g.Expect(status.Conditions[0].Message).To(Equal("no\nReady"))
}
