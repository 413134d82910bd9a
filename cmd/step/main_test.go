package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/test/needs"
)

// build builds a static program, as for images.
func build(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	NewWithT(t).Expect(os.Chmod(filepath.Dir(folder), 0o755)).To(Succeed()) // other users must be able to run it
	program := filepath.Join(folder, "codepipeline")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), string(out))
	return program
}

// maxSize is the largest size of the program, in bytes. Every job's pod gets a copy on its node's
// disk.
const maxSize = 4 << 20

func TestTheProgramIsSmall(t *testing.T) {
	g := NewWithT(t)
	info, err := os.Stat(build(t))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Size()).To(BeNumerically("<", maxSize))
}

// TestTheProgramNeedsNothing runs it as in an image without a shell, libc or /tmp.
func TestTheProgramNeedsNothing(t *testing.T) {
	needs.Root(t, "change the root folder")
	g := NewWithT(t)
	program := build(t)
	empty := t.TempDir()
	g.Expect(os.Link(program, filepath.Join(empty, "codepipeline"))).To(Succeed())
	g.Expect(os.Mkdir(filepath.Join(empty, "result"), 0o777)).To(Succeed())
	cmd := exec.Command("/codepipeline", "progress", "40", "in an empty image")
	cmd.Env = []string{"CODEPIPELINE_RESULT=/result"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: empty}
	out, err := cmd.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))
	g.Expect(os.ReadFile(filepath.Join(empty, "result", "summary"))).To(Equal([]byte("in an empty image\n")))
	g.Expect(out).To(BeEmpty())
}

func TestStepsOfDifferentUsersShareTheResults(t *testing.T) {
	needs.Root(t, "run programs as other users")
	g := NewWithT(t)
	program := build(t)
	folder := t.TempDir()
	g.Expect(os.Chmod(filepath.Dir(folder), 0o755)).To(Succeed())
	g.Expect(os.Chmod(folder, 0o777)).To(Succeed())
	for user, say := range map[uint32]string{0: "A=0", 1000: "B=1", 2000: "C=2", 3000: "D=3"} {
		for _, args := range []string{"output " + say, "progress 40"} {
			// The program works under a umask that removes all permissions.
			cmd := exec.Command("/bin/sh", "-c", "umask 077; exec "+program+" "+args)
			cmd.Env = []string{"CODEPIPELINE_RESULT=" + folder}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
			out, err := cmd.CombinedOutput()
			g.Expect(err).NotTo(HaveOccurred(), string(out))
		}
	}
	content, err := os.ReadFile(filepath.Join(folder, "output-variables"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(strings.Fields(string(content))).To(ConsistOf("A=0", "B=1", "C=2", "D=3"))

	// The error names a file that other users can't read.
	g.Expect(os.Chmod(filepath.Join(folder, "output-variables"), 0o600)).To(Succeed())
	g.Expect(os.Chown(filepath.Join(folder, "output-variables"), 0, 0)).To(Succeed())
	cmd := exec.Command(program, "output", "E=4")
	cmd.Env = []string{"CODEPIPELINE_RESULT=" + folder}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	out, err := cmd.CombinedOutput()
	g.Expect(err).To(HaveOccurred())
	g.Expect(cmd.ProcessState.ExitCode()).To(Equal(1))
	g.Expect(string(out)).To(Equal("codepipeline output: output-variables: can't be read by this user: make it readable for others (chmod a+r)\n"))
}

func TestTheProgramDependsOnLittle(t *testing.T) {
	g := NewWithT(t)
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	g.Expect(err).NotTo(HaveOccurred())
	const module = "github.com/pipelinejob/pipelinejob-operator/"
	others := slices.DeleteFunc(strings.Fields(string(out)), func(name string) bool {
		return strings.HasPrefix(name, "github.com/go-json-experiment/json")
	})
	g.Expect(others).To(ConsistOf(
		module+"internal/podcontract", module+"internal/limits", module+"internal/helper", module+"cmd/step"))
}
