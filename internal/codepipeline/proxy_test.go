package codepipeline_test

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// asCaller makes the test binary make a call in a new process, because net/http reads proxy
// variables only once.
const asCaller = "TEST_AS_CALLER"

// TestCallsGoThroughAProxyWithAPrivateCA configures proxy and CA only by the environment, for
// CodePipeline and for the assumed role.
func TestCallsGoThroughAProxyWithAPrivateCA(t *testing.T) {
	for name, password := range map[string]string{"without a password": "", "with a password": "pa55"} {
		t.Run(name, func(t *testing.T) {
			cloud := harness.NewPrivateCloud(t, password)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			process := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestCallAsTheEnvironmentSays$", "-test.v")
			process.Env = []string{
				asCaller + "=1", "AWS_ENDPOINT_URL=" + cloud.Endpoint, "HTTPS_PROXY=" + cloud.Proxy, "AWS_CA_BUNDLE=" + cloud.CAFile,
				"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_EC2_METADATA_DISABLED=true",
			}
			output, err := process.CombinedOutput()
			cloud.Expect(err).NotTo(HaveOccurred(), string(output))
			cloud.Expect(string(output)).To(ContainSubstring("--- PASS: TestCallAsTheEnvironmentSays"))
			cloud.Expect(cloud.Tunnels()).NotTo(BeEmpty())
		})
	}
}

func TestCallAsTheEnvironmentSays(t *testing.T) {
	if os.Getenv(asCaller) == "" {
		t.Skip("it is the process of TestCallsGoThroughAProxyWithAPrivateCA")
	}
	g := NewWithT(t)
	client, err := codepipeline.NewClients(codepipeline.ClientsOptions{}).For(t.Context(), codepipeline.Identity{
		Region: "us-east-1", RoleARN: "arn:aws:iam::444455556666:role/pipelines", ExternalID: "here/team",
	})
	g.Expect(err).NotTo(HaveOccurred())
	found, err := client.FindActionType(t.Context(), codepipeline.ActionTypeID{Category: "Build", Provider: "work", Version: "1"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found).To(BeNil())
}
