//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// repository is a folder whose objects are applied to the cluster, as by a GitOps controller.
type repository struct {
	*suite
	folder string
}

// put writes the file of a CustomAction.
func (r repository) put(w work) {
	r.t.Helper()
	file, err := os.Create(filepath.Join(r.folder, w.Name+".yaml"))
	r.Expect(err).NotTo(HaveOccurred())
	r.Expect(workYAML.Execute(file, w)).To(Succeed())
	r.Expect(file.Close()).To(Succeed())
}

func (r repository) remove(name string) {
	r.Expect(os.Remove(filepath.Join(r.folder, name+".yaml"))).To(Succeed())
}

// sync applies the files and prunes all other objects.
func (r repository) sync() (string, error) {
	r.t.Setenv("KUBECTL_APPLYSET", "true")
	return r.tryKubectl("", "apply", "--server-side", "--prune", "--applyset=configmaps/e2e-gitops", "-n", namespace, "-f", r.folder)
}

func (r repository) mustSync() {
	r.t.Helper()
	out, err := r.sync()
	r.Expect(err).NotTo(HaveOccurred(), out)
}

func (s *suite) customAction(g Gomega, name string) v1alpha1.CustomAction {
	out, err := s.tryKubectl("", "-n", namespace, "get", "cpaction", name, "-o", "json")
	g.Expect(err).NotTo(HaveOccurred(), out)
	var action v1alpha1.CustomAction
	g.Expect(json.Unmarshal([]byte(out), &action)).To(Succeed())
	return action
}

// registered reports whether CodePipeline has the action type of a work.
func (s *suite) registered(g Gomega, name string) bool {
	return slices.Contains(s.customTypes(g), "E2E-"+name)
}

// TestApplyUpdatePrune goes through a CustomAction's life in a GitOps repository.
func TestApplyUpdatePrune(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	repo := repository{s, t.TempDir()}
	kept := work{Name: "gitops-kept", Script: "true"}
	deleted := work{Name: "gitops-deleted", Script: `while [ ! -e /tmp/go ]; do sleep 0.2; done; echo done > "$CODEPIPELINE_RESULT/summary"`, Spec: "deletionPolicy: Delete"}

	// Apply.
	repo.put(kept)
	repo.put(deleted)
	repo.mustSync()
	s.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=1m", "cpaction/"+kept.Name, "cpaction/"+deleted.Name)
	s.Expect(s.registered(s, kept.Name)).To(BeTrue())
	s.Expect(s.registered(s, deleted.Name)).To(BeTrue())

	// Update: mutable fields change. A change of immutable fields is refused and has no effect.
	kept.Spec = "timeout: 30m"
	repo.put(kept)
	repo.replace(kept.Name, "  polling:", "    tags: [{key: team, value: web}]\n  polling:")
	repo.mustSync()
	s.eventually(func(g Gomega) {
		action := s.customAction(g, kept.Name)
		g.Expect(action.Status.ObservedGeneration).To(Equal(action.Generation))
		tags, err := s.aws.ListTagsForResource(s.ctx, &codepipeline.ListTagsForResourceInput{ResourceArn: &action.Status.ActionTypeARN})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(tags.Tags).To(ContainElement(types.Tag{Key: aws.String("team"), Value: aws.String("web")}))
	})
	content, err := os.ReadFile(filepath.Join(repo.folder, kept.Name+".yaml"))
	s.Expect(err).NotTo(HaveOccurred())
	repo.replace(kept.Name, `version: "1"`, `version: "2"`)
	out, err := repo.sync()
	s.Expect(err).To(HaveOccurred())
	s.Expect(out).To(ContainSubstring("spec.actionType.version: Invalid value: version is immutable: CodePipeline can't change an action type. Apply a new CustomAction with the next version"))
	s.Expect(os.WriteFile(filepath.Join(repo.folder, kept.Name+".yaml"), content, 0o600)).To(Succeed())
	s.Expect(s.customAction(s, kept.Name).Spec.ActionType.Version).To(Equal("1"))

	// Prune while a job is running: it finishes first.
	execution := s.startWorks("gitops", deleted)
	var job v1alpha1.PipelineJob
	s.eventually(func(g Gomega) {
		job = s.pipelineJobs(g, execution)[deleted.Name]
		g.Expect(job.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
	})
	repo.remove(deleted.Name)
	repo.remove(kept.Name)
	repo.put(work{Name: "gitops-last", Script: "true"}) // kubectl needs something to apply
	repo.mustSync()
	s.eventually(func(g Gomega) {
		action := s.customAction(g, deleted.Name)
		g.Expect(action.DeletionTimestamp).NotTo(BeNil())
		g.Expect(action.Status.Conditions).To(ContainElement(And(HaveField("Type", v1alpha1.ConditionReady), HaveField("Reason", v1alpha1.ReasonDeleting),
			HaveField("Message", "being deleted: waiting for 1 jobs to finish"))))
	})
	s.Expect(s.registered(s, deleted.Name)).To(BeTrue(), "its job works")
	s.eventually(func(g Gomega) {
		out, err := s.tryKubectl("", "-n", namespace, "exec", "job/"+job.Status.Run.JobName, "-c", "work", "--", "touch", "/tmp/go")
		g.Expect(err).NotTo(HaveOccurred(), out)
	})
	s.Expect(s.ended("gitops", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))
	s.kubectl("-n", namespace, "wait", "--for=delete", "--timeout=2m", "cpaction/"+deleted.Name, "cpaction/"+kept.Name)
	s.Expect(s.registered(s, deleted.Name)).To(BeFalse(), "deletionPolicy Delete")
	s.Expect(s.registered(s, kept.Name)).To(BeTrue(), "deletionPolicy Retain")
	s.kubectl("-n", namespace, "delete", "cpaction/gitops-last", "configmap/e2e-gitops")
}

// replace changes a file.
func (r repository) replace(name, old, with string) {
	r.t.Helper()
	path := filepath.Join(r.folder, name+".yaml")
	content, err := os.ReadFile(path)
	r.Expect(err).NotTo(HaveOccurred())
	r.Expect(string(content)).To(ContainSubstring(old))
	r.Expect(os.WriteFile(path, []byte(strings.Replace(string(content), old, with, 1)), 0o600)).To(Succeed())
}
