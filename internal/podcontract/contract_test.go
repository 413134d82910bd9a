package podcontract

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
)

func TestEnvironmentNames(t *testing.T) {
	g := NewWithT(t)
	g.Expect(EnvConfig("ProjectName")).To(Equal("CODEPIPELINE_CONFIG_PROJECTNAME"))
	g.Expect(EnvInput("my-source.v2")).To(Equal("CODEPIPELINE_INPUT_MY_SOURCE_V2"))
	g.Expect(EnvOutput("übung_1")).To(Equal("CODEPIPELINE_OUTPUT__BUNG_1"))
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	g := NewWithT(t)
	handover := Handover{Credentials: Credentials{SecretAccessKey: "hunter2"}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		g.Expect(fmt.Sprintf(format, handover)).NotTo(ContainSubstring("hunter2"), format)
	}
}
