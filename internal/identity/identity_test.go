package identity

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

func TestOf(t *testing.T) {
	const role = "arn:aws:iam::444455556666:role/ci"
	cases := map[string]struct {
		aws       v1alpha1.AWS
		clusterID string
		want      codepipeline.Identity
	}{
		"the operator itself": {v1alpha1.AWS{Region: "us-east-1"}, "here", codepipeline.Identity{Region: "us-east-1"}},
		"a role": {
			v1alpha1.AWS{Region: "us-east-1", RoleARN: role}, "here",
			codepipeline.Identity{Region: "us-east-1", RoleARN: role, ExternalID: "here/team-sec", SessionName: "team-sec.", MayRegister: true},
		},
		"a role without the cluster's ID": {
			v1alpha1.AWS{Region: "us-east-1", RoleARN: role}, "",
			codepipeline.Identity{Region: "us-east-1", RoleARN: role, SessionName: "team-sec.", MayRegister: true},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(Of(c.aws, c.clusterID, "team-sec")).To(Equal(c.want))
		})
	}
}
