//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestOperatorThatIsKilled kills the operator with SIGKILL in several phases of a pipeline, and
// expects that the pipeline succeeds and that each action ran once.
func TestOperatorThatIsKilled(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	execution := s.start("demo")
	for _, moment := range []struct {
		action string
		phases []v1alpha1.Phase // any of these
	}{
		{"build", []v1alpha1.Phase{"", v1alpha1.PhasePending, v1alpha1.PhaseAcknowledged, v1alpha1.PhaseRunning}},
		{"build", []v1alpha1.Phase{v1alpha1.PhaseReporting, v1alpha1.PhaseSucceeded}},
		{"test", []v1alpha1.Phase{v1alpha1.PhaseRunning}},
	} {
		s.eventually(func(g Gomega) {
			job, ok := s.pipelineJobs(g, execution)[moment.action]
			g.Expect(ok).To(BeTrue())
			g.Expect(slices.Contains(moment.phases, job.Status.Phase)).To(BeTrue(), string(job.Status.Phase))
		})
		s.killOperator()
	}
	s.Expect(s.ended("demo", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))

	accepted := map[string]int{}
	for _, call := range s.journal() {
		if call.Operation == "PutJobSuccessResult" && call.Error == "" {
			accepted[call.Request.JobID]++
		}
	}
	s.eventually(func(g Gomega) {
		for action, job := range s.pipelineJobs(g, execution) {
			g.Expect(job.Status.Phase).To(Equal(v1alpha1.PhaseSucceeded), action)
			g.Expect(accepted[job.Spec.CodePipelineJob.ID]).To(Equal(1), action)
		}
	})
	for _, action := range []string{"build", "test"} {
		job := s.pipelineJobs(s, execution)[action]
		runs := s.kubernetesJobs(job.Name)
		s.Expect(runs).To(HaveLen(1), action)
		s.Expect(runs[0].Status.Succeeded).To(BeEquivalentTo(1))
	}
	s.kubectl("-n", "pipelinejob-system", "rollout", "status", "deployment/pipelinejob-operator", "--timeout=120s")
}

// killOperator sends SIGKILL to the manager's process. It finds the process by the UID of its pod,
// which is in the name of the cgroup.
func (s *suite) killOperator() {
	s.t.Helper()
	killed := false
	s.eventually(func(g Gomega) {
		uid := s.kubectl("-n", "pipelinejob-system", "get", "pods", "-l", "app.kubernetes.io/name=pipelinejob-operator",
			"-o", "jsonpath={.items[*].metadata.uid}")
		pids := processes("/manager", strings.Fields(uid))
		g.Expect(pids).NotTo(BeEmpty(), "the operator's process; this test needs a cluster on this machine")
		for _, pid := range pids {
			killed = syscall.Kill(pid, syscall.SIGKILL) == nil || killed
		}
		g.Expect(killed).To(BeTrue())
	})
}

// processes returns the processes of a program in the pods with these UIDs.
func processes(program string, podUIDs []string) []int {
	var pids []int
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	for _, folder := range folders {
		command, err := os.ReadFile(filepath.Join(folder, "cmdline"))
		if err != nil || !bytes.HasPrefix(command, append([]byte(program), 0)) {
			continue
		}
		groups, err := os.ReadFile(filepath.Join(folder, "cgroup"))
		if err != nil || !slices.ContainsFunc(podUIDs, func(uid string) bool { return bytes.Contains(groups, []byte(uid)) }) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(folder)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
