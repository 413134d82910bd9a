package customaction

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// TestTypeThatAnotherObjectRegisteredMeanwhile has two objects of one action type find it missing at
// the same time: CodePipeline refuses the second creation.
func TestTypeThatAnotherObjectRegisteredMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.CustomAction)
		reason string
	}{
		"with the same definition": {func(*v1alpha1.CustomAction) {}, v1alpha1.ReasonRegistered},
		"with another one": {func(action *v1alpha1.CustomAction) {
			action.Spec.ActionType.InputArtifactDetails.MaximumCount++
		}, v1alpha1.ReasonDefinitionConflict},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			aws := emulator.StartT(t, emulator.Options{})
			clients := codepipeline.NewClients(codepipeline.ClientsOptions{}, config.WithBaseEndpoint(aws.URL()),
				config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
			api, err := clients.For(t.Context(), codepipeline.Identity{Region: "us-east-1"})
			g.Expect(err).NotTo(HaveOccurred())
			mine, other := harness.NewAction("team"), harness.NewAction("team", c.change)
			g.Expect(api.CreateActionType(t.Context(), actionTypeOf(other), nil)).To(Succeed())
			scheme := runtime.NewScheme()
			g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
			r := &Reconciler{Live: fake.NewClientBuilder().WithScheme(scheme).WithObjects(mine).Build()}
			g.Expect(r.create(t.Context(), api, mine, actionTypeOf(mine)).reason).To(Equal(c.reason))
		})
	}
}
