package codepipeline

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// TestTypesOfPropertiesNeedNotComeBack registers an action type and compares it with CodePipeline's
// list, which has no types of properties according to published outputs.
func TestTypesOfPropertiesNeedNotComeBack(t *testing.T) {
	define := func(retries string) ActionType {
		return ActionType{
			ID: ActionTypeID{Category: "Test", Provider: "Field-Number", Version: "1"}, Inputs: ArtifactBounds{Maximum: 1},
			Properties: []Property{{Name: "Retries", Required: true, Type: retries}, {Name: "Fast", Type: "Boolean"}},
		}
	}
	for name, c := range map[string]struct {
		returned bool
		wanted   string
		differs  []string
	}{
		"left out":               {false, "Number", nil},
		"left out, another type": {false, "String", nil},
		"returned":               {true, "Number", nil},
		"returned, another type": {true, "String", []string{"configurationProperties[Retries].type"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			client := testClient(t, emulator.StartT(t, emulator.Options{ReturnPropertyTypes: c.returned}).URL())
			g.Expect(client.CreateActionType(t.Context(), define("Number"), nil)).To(Succeed())
			found, err := client.FindActionType(t.Context(), define("").ID)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(Differences(define(c.wanted), *found)).To(Equal(c.differs))
		})
	}
}
