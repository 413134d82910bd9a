package integration

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/controllers/customaction"
)

// TestBrokenOwnerReleasesItsJobsToTheNextOne: the CustomAction that the tags name has a mistake in
// its template, and therefore keeps its jobs. The platform team has the tags name another one.
func TestBrokenOwnerReleasesItsJobsToTheNextOne(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.Expect(w.Kube.Create(w.Ctx, w.Action(named("two")))).To(Succeed())
	w.readyReason("two", v1alpha1.ReasonActionTypeTaken)
	w.change(func(a *v1alpha1.CustomAction) {
		a.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = []string{"$(config.Typo)"}
	})
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)
	_, err := w.Pipelines.TagResource(w.Ctx, &sdk.TagResourceInput{ResourceArn: aws.String(workARN), Tags: []types.Tag{
		{Key: aws.String(v1alpha1.TagName), Value: aws.String("two")},
	}})
	w.Expect(err).NotTo(HaveOccurred())
	w.Clock.Step(customaction.DriftInterval + time.Second)
	w.change(labelled("drift"))
	w.Await(func(g Gomega) { g.Expect(w.owner(g)).To(Equal(v1alpha1.OwnerOther)) })
	w.Clock.Step(releaseAfter)
	w.change(labelled("due"))
	w.readyReason("two", v1alpha1.ReasonReady)
}
