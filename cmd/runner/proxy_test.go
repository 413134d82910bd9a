package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// private is a pod that reaches AWS through a proxy with a private CA.
type private struct {
	*harness.PrivateCloud
	root, message, handover string
}

func newPrivate(t *testing.T, password string) *private {
	p := &private{PrivateCloud: harness.NewPrivateCloud(t, password), root: t.TempDir()}
	p.message = filepath.Join(t.TempDir(), "termination-log")
	p.handover = filepath.Join(t.TempDir(), podcontract.HandoverKey)
	var archive bytes.Buffer
	zipped := zip.NewWriter(&archive)
	file, err := zipped.Create("main.go")
	p.Expect(err).NotTo(HaveOccurred())
	_, err = file.Write([]byte("package main"))
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(zipped.Close()).To(Succeed())
	p.Put("in/source", archive.Bytes())
	content, err := json.Marshal(podcontract.Handover{
		Region: "us-east-1", Credentials: podcontract.Credentials{AccessKeyID: "k", SecretAccessKey: "s"},
		InputArtifacts:  []podcontract.Artifact{{Name: "source", Bucket: "artifacts", ObjectKey: "in/source"}},
		OutputArtifacts: []podcontract.Artifact{{Name: "package", Bucket: "artifacts", ObjectKey: "out/package"}},
	})
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(os.WriteFile(p.handover, content, 0o600)).To(Succeed())
	return p
}

// runner runs the program in a separate process, because net/http reads proxy variables only once.
func (p *private) runner(t *testing.T, env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	process := exec.CommandContext(ctx, os.Args[0], append(args, "--root="+p.root, "--termination-log="+p.message, "--handover="+p.handover)...)
	process.Env = append([]string{asRunner + "=1", "PATH=" + os.Getenv("PATH"), "AWS_EC2_METADATA_DISABLED=true"}, env...)
	output, err := process.CombinedOutput()
	return string(output), err
}

// TestArtifactsGoThroughAProxyWithAPrivateCA passes the environment like jobspec: the operator's as
// arguments, and spec.runner's as variables.
func TestArtifactsGoThroughAProxyWithAPrivateCA(t *testing.T) {
	for name, password := range map[string]string{"passed on by the operator": "", "from a Secret, with a password": "pa55"} {
		t.Run(name, func(t *testing.T) {
			p := newPrivate(t, password)
			env := []string{"AWS_CA_BUNDLE=" + p.CAFile}
			args := []string{"--default-env=AWS_ENDPOINT_URL=" + p.Endpoint, "--default-env=HTTPS_PROXY=" + p.Proxy}
			if password != "" {
				env = append(env, "HTTPS_PROXY="+p.Proxy)
				args[1] = "--default-env=HTTPS_PROXY=http://192.0.2.99:1"
			}
			output, err := p.runner(t, env, append([]string{"fetch", "--helper="}, args...)...)
			p.Expect(err).NotTo(HaveOccurred(), output)
			p.Expect(os.ReadFile(filepath.Join(p.root, "input", "source", "main.go"))).To(BeEquivalentTo("package main"))
			fetched := len(p.Tunnels())
			p.Expect(fetched).To(BeNumerically(">", 0))

			p.Expect(os.WriteFile(filepath.Join(p.root, "output", "package", "main"), []byte("built"), 0o600)).To(Succeed())
			output, err = p.runner(t, env, append([]string{"report"}, args...)...)
			p.Expect(err).NotTo(HaveOccurred(), output)
			p.Expect(len(p.Tunnels())).To(BeNumerically(">", fetched))
			for _, host := range p.Tunnels() {
				p.Expect("https://" + strings.TrimSuffix(host, ":443")).To(Equal(p.Endpoint))
			}
			p.Expect(p.Size("out/package")).To(BeNumerically(">", 0))
		})
	}
}

func TestACertificateThatNobodyTrustsIsNamed(t *testing.T) {
	p := newPrivate(t, "")
	output, err := p.runner(t, nil, "fetch", "--helper=", "--default-env=AWS_ENDPOINT_URL="+p.Endpoint, "--default-env=HTTPS_PROXY="+p.Proxy)
	p.Expect(err).To(HaveOccurred())
	p.Expect(output).To(ContainSubstring("certificate signed by unknown authority"))
	p.Expect(p.Tunnels()).To(HaveLen(1), "it is not tried again for minutes")
	told, err := os.ReadFile(p.message)
	p.Expect(err).NotTo(HaveOccurred())
	p.Expect(string(told)).To(And(ContainSubstring("ConfigurationError"), ContainSubstring("set spec.runner.ca of the CustomAction")))
}

func TestDefaultsOfTheEnvironment(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("TEST_SET", "own")
	t.Setenv("TEST_EMPTY", "")
	for _, pair := range []string{"TEST_SET=other", "TEST_EMPTY=other", "TEST_UNSET=a=b"} {
		g.Expect(setDefault(pair)).To(Succeed())
	}
	t.Cleanup(func() { g.Expect(os.Unsetenv("TEST_UNSET")).To(Succeed()) })
	g.Expect([]string{os.Getenv("TEST_SET"), os.Getenv("TEST_EMPTY"), os.Getenv("TEST_UNSET")}).To(Equal([]string{"own", "", "a=b"}))
	for _, pair := range []string{"TEST", "=x", ""} {
		g.Expect(setDefault(pair)).To(MatchError("must be NAME=VALUE"))
	}
}
