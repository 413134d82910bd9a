//go:build e2e

package e2e

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

const artifacts = 5

// restrictedYAML is a CustomAction whose steps run as different users, on a read-only root file
// system. The first step prints the digest of the secret as a proof, and waits until it may
// continue. If there is a file leak, it prints the secret itself.
const restrictedYAML = `
apiVersion: codepipeline.pipelinejob.dev/v1alpha1
kind: CustomAction
metadata: {name: restricted, namespace: pipelines}
spec:
  accountRef: {name: default}
  actionType:
    category: Build
    provider: E2E-restricted
    version: "1"
    configurationProperties:
    - {name: Password, required: true, key: false, secret: true}
    inputArtifactDetails: {minimumCount: 5, maximumCount: 5}
    outputArtifactDetails: {minimumCount: 5, maximumCount: 5}
  polling: {interval: 2s}
  jobTemplate:
    spec:
      template:
        spec:
          securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
          containers:
          - name: copy
            image: pipelinejob.dev/sample-work:dev
            imagePullPolicy: IfNotPresent
            securityContext: &restricted
              runAsUser: 1000
              readOnlyRootFilesystem: true
              allowPrivilegeEscalation: false
              capabilities: {drop: [ALL]}
            command: [sh, -euc]
            args:
            - |
              [ ! -e /codepipeline/input/in1/leak ] || { set -x; sign-in "$CODEPIPELINE_CONFIG_PASSWORD"; }
              for i in 1 2 3 4 5; do cp -r /codepipeline/input/in$i/. /codepipeline/output/out$i; done
              printf %s "$CODEPIPELINE_CONFIG_PASSWORD" | sha256sum | cut -d' ' -f1 > /codepipeline/output/out1/digest
              while [ ! -e /codepipeline/go ]; do sleep 0.2; done
          - name: change
            image: pipelinejob.dev/sample-work:dev
            imagePullPolicy: IfNotPresent
            securityContext:
              <<: *restricted
              runAsUser: 2000
            command: [sh, -euc]
            args:
            - |
              for i in 1 2 3 4 5; do echo changed > /codepipeline/output/out$i/more; done
              sha256sum /codepipeline/output/out1/digest
              { printf LARGE=; head -c 122875 /dev/zero | tr '\0' x; } > "$CODEPIPELINE_RESULT/output-variables"
              echo "five artifacts" > "$CODEPIPELINE_RESULT/summary"
`

// zipped returns an archive with one file.
func zipped(g Gomega, name, content string) []byte {
	var buffer bytes.Buffer
	archive := zip.NewWriter(&buffer)
	file, err := archive.Create(name)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = io.WriteString(file, content)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(archive.Close()).To(Succeed())
	return buffer.Bytes()
}

// applyRestricted creates the CustomAction and waits until it is ready.
func (s *suite) applyRestricted() {
	s.t.Helper()
	out, err := s.tryKubectl(restrictedYAML, "apply", "--server-side", "-f", "-")
	s.Expect(err).NotTo(HaveOccurred(), out)
	s.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=1m", "cpaction/restricted")
}

// startRestricted creates a pipeline with the action and five sources, each with the file, and
// starts it.
func (s *suite) startRestricted(pipeline, file, password string) (execution string) {
	work := custom(types.ActionCategoryBuild, "restricted").Configure("Password", password)
	sources := map[string]string{}
	for i := 1; i <= artifacts; i++ {
		in := fmt.Sprintf("in%d", i)
		sources[in] = fmt.Sprintf("restricted-%d.zip", i)
		s.put(sources[in], zipped(s, file, in))
		work = work.Inputs(in).Outputs(fmt.Sprintf("out%d", i))
	}
	return s.startPipeline(pipeline, sources, work)
}

// TestRestrictedWithFiveArtifactsAndASecret runs steps of different non-root users, and searches
// for the job's secrets everywhere, while it runs and afterwards.
func TestRestrictedWithFiveArtifactsAndASecret(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	s.applyRestricted()
	const password = "hunter2-correct-horse-battery"
	execution := s.startRestricted("restricted", "file", password)

	var job v1alpha1.PipelineJob
	s.eventually(func(g Gomega) {
		job = s.pipelineJobs(g, execution)["restricted"]
		g.Expect(job.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
		out, err := s.tryKubectl("", "-n", namespace, "exec", "job/"+job.Status.Run.JobName, "-c", "copy", "--", "cat", "/codepipeline/output/out1/digest")
		g.Expect(err).NotTo(HaveOccurred(), out)
	})
	secrets := append([]string{password}, s.credentialsOf(secretOf(job))...)
	s.Expect(len(secrets)).To(BeNumerically(">=", 3))
	s.expectNowhereElse(secretOf(job), true, secrets)
	s.kubectl("-n", namespace, "exec", "job/"+job.Status.Run.JobName, "-c", "copy", "--", "touch", "/codepipeline/go")

	s.Expect(s.ended("restricted", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))
	s.eventually(func(g Gomega) {
		out, err := s.tryKubectl("", "-n", namespace, "get", "secret", secretOf(job))
		g.Expect(err).To(HaveOccurred(), out)
	})
	s.expectNowhereElse(secretOf(job), false, secrets)
	s.expectOutputs(execution)
}

// TestASecretThatAStepPrints: a step prints its secret and fails. The secret is only in the log of
// that step.
func TestASecretThatAStepPrints(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	s.applyRestricted()
	password := rand.Text() // logs of earlier runs have other passwords
	execution := s.startRestricted("leak", "leak", password)
	s.Expect(s.ended("leak", execution)).To(Equal(types.PipelineExecutionStatusFailed))
	shown := s.actionState(s, "leak", "restricted").ErrorDetails
	s.Expect(aws.ToString(shown.Code)).To(Equal("JobFailed"))
	s.Expect(aws.ToString(shown.Message)).To(MatchRegexp(`(?s)^step "copy" failed: exit code 127 .*\n\+ sign-in '?\*\*\*'?\n.*not found`))

	job := s.pipelineJobs(s, execution)["restricted"]
	pod := s.kubectl("-n", namespace, "get", "pods", "-l", "batch.kubernetes.io/job-name="+job.Status.Run.JobName, "-o", "name")
	own := "log of " + namespace + " " + strings.TrimSpace(pod)
	s.expectNowhereElse(secretOf(job), false, []string{password}, own)
	s.Expect(s.logs()[strings.TrimPrefix(own, "log of ")]).To(ContainSubstring(password))
}

// secretOf returns the name of a job's Secret.
func secretOf(job v1alpha1.PipelineJob) string { return "pipelinejob-" + string(job.UID) }

// credentialsOf returns the credentials in a job's Secret.
func (s *suite) credentialsOf(name string) []string {
	var secret corev1.Secret
	s.Expect(json.Unmarshal([]byte(s.kubectl("-n", namespace, "get", "secret", name, "-o", "json")), &secret)).To(Succeed())
	var handover struct {
		Credentials struct{ SecretAccessKey, SessionToken string }
	}
	s.Expect(json.Unmarshal(secret.Data["handover.json"], &handover)).To(Succeed())
	return []string{handover.Credentials.SecretAccessKey, handover.Credentials.SessionToken}
}

// expectNowhereElse searches for secrets in all objects, logs, and values in etcd, except for the
// job's Secret, which exists while the job runs, and other exceptions.
func (s *suite) expectNowhereElse(secret string, while bool, secrets []string, but ...string) {
	s.t.Helper()
	places := s.objects()
	for name, content := range s.logs() {
		places["log of "+name] = content
	}
	for key, value := range s.etcd() {
		places["etcd "+key] = value
	}
	own := "etcd /registry/secrets/" + namespace + "/" + secret
	s.Expect(strings.Contains(places[own], secrets[0])).To(Equal(while), "its own Secret")
	for _, place := range append(but, own) {
		delete(places, place)
	}
	s.Expect(len(places)).To(BeNumerically(">", 100))
	for place, content := range places {
		for _, value := range secrets {
			for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
				s.Expect(strings.Contains(content, form)).To(BeFalse(), place)
			}
		}
	}
}

// objects returns all objects of the cluster except Secrets, including events, by kind.
func (s *suite) objects() map[string]string {
	found := map[string]string{}
	for kind := range strings.FieldsSeq(s.kubectl("api-resources", "--verbs=list", "-o", "name")) {
		if kind != "secrets" {
			found["objects "+kind] = s.kubectl("get", kind, "-A", "-o", "yaml", "--ignore-not-found", "--show-managed-fields")
		}
	}
	return found
}

// logs returns the logs of all containers of the operator, the emulator and jobs.
func (s *suite) logs() map[string]string {
	found := map[string]string{}
	for _, in := range []string{namespace, "pipelinejob-system"} {
		for pod := range strings.FieldsSeq(s.kubectl("-n", in, "get", "pods", "-o", "name")) {
			// Ignore containers that have not started and have no log.
			out, err := s.tryKubectl("", "-n", in, "logs", pod, "--all-containers", "--tail=-1", "--ignore-errors")
			if err != nil && strings.Contains(out, "(NotFound)") {
				continue // it was terminating because of an earlier test
			}
			s.Expect(err).NotTo(HaveOccurred(), out)
			found[in+" "+pod] = out
		}
	}
	return found
}

// etcd returns all values of the cluster's etcd, by key.
func (s *suite) etcd() map[string]string {
	s.t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: inNetworkOf(s.etcdProcess())}}
	// In etcd's API, the range from byte 0 to byte 0 means all keys.
	response, err := client.Post("http://127.0.0.1:2379/v3/kv/range", "application/json", strings.NewReader(`{"key": "AA==", "range_end": "AA=="}`))
	s.Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	var answer struct {
		KVs []struct{ Key, Value []byte }
	}
	s.Expect(json.NewDecoder(response.Body).Decode(&answer)).To(Succeed())
	found := map[string]string{}
	for _, kv := range answer.KVs {
		found[string(kv.Key)] = string(kv.Value)
	}
	return found
}

// etcdProcess returns the process ID of the cluster's etcd, which listens in another network
// namespace.
func (s *suite) etcdProcess() string {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	s.Expect(err).NotTo(HaveOccurred())
	for _, file := range files {
		content, _ := os.ReadFile(file) // the process may have ended
		args := strings.Split(string(content), "\x00")
		if filepath.Base(args[0]) == "etcd" && slices.Contains(args, "--data-dir=/var/lib/etcd") {
			return filepath.Base(filepath.Dir(file))
		}
	}
	s.Expect("its process").To(BeEmpty(), "this test needs a cluster on this machine")
	return ""
}

// inNetworkOf dials in the network namespace of a process.
func inNetworkOf(pid string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		type dialed struct {
			conn net.Conn
			err  error
		}
		done := make(chan dialed, 1)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
			namespace, err := os.Open(filepath.Join("/proc", pid, "ns", "net"))
			if err == nil {
				err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
				_ = namespace.Close()
			}
			if err != nil {
				done <- dialed{err: err}
				return
			}
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			done <- dialed{conn, err}
		}()
		got := <-done
		return got.conn, got.err
	}
}

// expectOutputs checks the five objects that the action wrote, and its variable.
func (s *suite) expectOutputs(execution string) {
	output := s.actionOf("restricted", execution, "restricted").Output
	s.Expect(output.OutputVariables["LARGE"] == strings.Repeat("x", 122875)).To(BeTrue(), "as many bytes as CodePipeline takes")
	s.Expect(output.OutputArtifacts).To(HaveLen(artifacts))
	for _, artifact := range output.OutputArtifacts {
		archive := s.archiveAt(artifact.S3location)
		s.Expect(s.fileOf(archive, "file")).To(Equal(strings.Replace(*artifact.Name, "out", "in", 1)))
		s.Expect(s.fileOf(archive, "more")).To(Equal("changed\n"), "what the second step, of another user, has added")
	}
}
