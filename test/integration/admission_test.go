package integration

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// caseObjects returns the objects of a user's case, except for its namespace, in the test's
// namespace.
func (w *world) caseObjects(name string) []*unstructured.Unstructured {
	w.T.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "cases", name+".yaml"))
	w.Expect(err).NotTo(HaveOccurred())
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	var objects []*unstructured.Unstructured
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		w.Expect(err).NotTo(HaveOccurred())
		object := &unstructured.Unstructured{}
		w.Expect(yaml.Unmarshal(document, object)).To(Succeed())
		if object.GetKind() == "Namespace" {
			continue
		}
		if object.GetNamespace() != "" {
			object.SetNamespace(w.Namespace)
		}
		if object.GetKind() == "CustomAction" {
			w.Expect(unstructured.SetNestedField(object.Object, w.Namespace, "spec", "accountRef", "name")).To(Succeed())
		}
		objects = append(objects, object)
	}
}

func (w *world) create(objects ...*unstructured.Unstructured) {
	w.T.Helper()
	for _, object := range objects {
		w.Expect(w.Kube.Create(w.Ctx, object)).To(Succeed())
	}
}

// plainPod returns a pod that a namespace without policies accepts.
func (w *world) plainPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "plain", Namespace: w.Namespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "plain", Image: "plain:1"}}},
	}
}

// plainJob returns a Job of plainPod.
func (w *world) plainJob() *batchv1.Job {
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "plain", Namespace: w.Namespace}}
	job.Spec.Template.Spec = w.plainPod().Spec
	job.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	return job
}

// awaitRefusal waits until a policy is in force and the API server refuses an object.
func (w *world) awaitRefusal(object client.Object) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		g.Expect(w.Kube.Create(w.Ctx, object.DeepCopyObject().(client.Object), client.DryRunAll)).NotTo(Succeed())
	})
}

// withResources sets the resources of an action's step, as a quota on limits requires.
func withResources(action *v1alpha1.CustomAction) {
	small := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")}
	action.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: small, Limits: small}
}

// quotaOnLimits creates the quota of the case, with the status that a controller would set.
func (w *world) quotaOnLimits() (action *unstructured.Unstructured) {
	objects := w.caseObjects("12-quota-limits-cpu")
	quota := &corev1.ResourceQuota{}
	w.create(objects[0])
	w.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: "team"}, quota)).To(Succeed())
	quota.Status.Hard = quota.Spec.Hard
	quota.Status.Used = corev1.ResourceList{}
	for name := range quota.Spec.Hard {
		quota.Status.Used[name] = resource.MustParse("0")
	}
	w.Expect(w.Kube.Status().Update(w.Ctx, quota)).To(Succeed())
	w.awaitRefusal(w.plainPod())
	return objects[1]
}

// TestQuotaOnLimitsTakesPods: a quota requires limits for every container, including wrapper
// containers.
func TestQuotaOnLimitsTakesPods(t *testing.T) {
	w := newWorld(t)
	action := w.quotaOnLimits()
	w.operate()
	w.create(action)
	w.readyReason("quota", v1alpha1.ReasonReady)
	w.Expect(w.Kube.Create(w.Ctx, w.Action(withResources))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.StartPipeline(map[string]string{"Target": "all"})
	w.Succeed(w.RunningJob(1), podcontract.Result{}) // the API server accepts the pod
	w.succeeds()
}

func TestQuotaOnLimitsNamesTheContainerAndItsOwner(t *testing.T) {
	w := newWorld(t)
	w.quotaOnLimits()
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonJobRefused)).To(And(
		ContainSubstring("the cluster would refuse the pods of this action: "),
		ContainSubstring("must specify limits.cpu for: work; limits.memory for: work"),
		ContainSubstring("on each step and sidecar in spec.jobTemplate of the CustomAction"),
		Not(ContainSubstring("spec.runner"))))
	w.change(withResources)
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.change(func(a *v1alpha1.CustomAction) {
		a.Spec.Runner = &v1alpha1.Runner{Resources: &corev1.ResourceRequirements{}}
	})
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonJobRefused)).To(And(
		ContainSubstring("For the operator's own codepipeline-fetch, codepipeline-progress, codepipeline-report: correct them in spec.runner.resources"),
		Not(ContainSubstring("spec.jobTemplate"))))
}

// TestUsedUpQuotaDoesNotRefuse: a quota may have room later.
func TestUsedUpQuotaDoesNotRefuse(t *testing.T) {
	w := newWorld(t)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: w.Namespace}}
	quota.Spec.Hard = corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}
	w.Expect(w.Kube.Create(w.Ctx, quota)).To(Succeed())
	quota.Status = corev1.ResourceQuotaStatus{Hard: quota.Spec.Hard, Used: quota.Spec.Hard}
	w.Expect(w.Kube.Status().Update(w.Ctx, quota)).To(Succeed())
	w.awaitRefusal(w.plainPod())
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// TestLimitRangeAsksForMoreThanTheDefault: a minimum is above the defaults of the wrapper
// containers. The message names these containers, and spec.runner.resources as the remedy.
func TestLimitRangeAsksForMoreThanTheDefault(t *testing.T) {
	w := newWorld(t)
	objects := w.caseObjects("13-limitrange-min")
	w.create(objects[0])
	small := w.plainPod()
	small.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m")}
	w.awaitRefusal(small)
	w.operate()
	w.create(objects[1])
	w.Expect(w.readyReason("limits", v1alpha1.ReasonJobRefused)).To(And(
		ContainSubstring("minimum cpu usage per Container is 50m, but request is 10m"),
		ContainSubstring("For the operator's own codepipeline-fetch, codepipeline-progress, codepipeline-report: correct them in spec.runner.resources"),
		ContainSubstring("--runner-resources"), Not(ContainSubstring("spec.jobTemplate"))))
	w.changeNamed("limits", func(a *v1alpha1.CustomAction) {
		a.Spec.Runner = &v1alpha1.Runner{Resources: &corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("256Mi")},
		}}
	})
	w.readyReason("limits", v1alpha1.ReasonReady)
}

// TestRatioOfALimitRange uses a ratio between that of the default resources and that of the flag.
func TestRatioOfALimitRange(t *testing.T) {
	w := newWorld(t)
	ratio := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "ratio", Namespace: w.Namespace}}
	ratio.Spec.Limits = []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, MaxLimitRequestRatio: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")}}}
	w.Expect(w.Kube.Create(w.Ctx, ratio)).To(Succeed())
	w.awaitRefusal(w.plainPod())
	stop := w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(withResources))).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonJobRefused)).To(And(
		ContainSubstring("cpu max limit to request ratio per Container is 4"), ContainSubstring("For the operator's own codepipeline-fetch, codepipeline-progress, codepipeline-report")))
	stop()
	even := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("256Mi")}
	w.adjust = append(w.adjust, withRunner(jobspec.RunnerOptions{Resources: &corev1.ResourceRequirements{Requests: even, Limits: even}}))
	w.operate()
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
}

func withRunner(runner jobspec.RunnerOptions) func(*operator.Options) {
	return func(o *operator.Options) { o.JobOptions.Runner = runner }
}

// ttlPolicy puts the policy of the case in force, only for the test's namespace.
func (w *world) ttlPolicy() (lift func()) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.Namespace}}
	w.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(namespace), namespace)).To(Succeed())
	metav1.SetMetaDataLabel(&namespace.ObjectMeta, "ttl-policy", w.Namespace)
	w.Expect(w.Kube.Update(w.Ctx, namespace)).To(Succeed())
	objects := w.caseObjects("24-ttl-required")
	for _, object := range objects {
		object.SetName(object.GetName() + "-" + w.Namespace)
	}
	w.Expect(unstructured.SetNestedField(objects[0].Object, w.Namespace, "spec", "matchConstraints", "namespaceSelector", "matchLabels", "ttl-policy")).To(Succeed())
	w.Expect(unstructured.SetNestedField(objects[1].Object, objects[0].GetName(), "spec", "policyName")).To(Succeed())
	w.create(objects...)
	w.liftAtTheEnd(objects[0], objects[1])
	w.awaitRefusal(w.plainJob())
	return func() {
		w.Expect(w.Kube.Delete(w.Ctx, objects[1])).To(Succeed())
		w.Await(func(g Gomega) { g.Expect(w.Kube.Create(w.Ctx, w.plainJob(), client.DryRunAll)).To(Succeed()) })
	}
}

// liftAtTheEnd deletes cluster-scoped objects when the test ends.
func (w *world) liftAtTheEnd(objects ...client.Object) {
	w.T.Cleanup(func() {
		for _, object := range objects {
			_ = w.Kube.Delete(context.WithoutCancel(w.Ctx), object) // it may be gone
		}
	})
}

// TestPolicyDemandsATimeToLive: a policy refuses Jobs with the status code of an invalid field. The
// condition has the policy's message, and the operator tries again when the policy changes.
func TestPolicyDemandsATimeToLive(t *testing.T) {
	w := newWorld(t)
	lift := w.ttlPolicy()
	w.operate()
	w.create(w.caseObjects("24b-ttl-action")...)
	w.create(w.caseObjects("24c-ttl-action-set")...)
	w.readyReason("ttl-set", v1alpha1.ReasonReady)
	message := w.readyReason("ttl", v1alpha1.ReasonJobRefused)
	w.Expect(message).To(And(
		HavePrefix("the cluster would refuse the Jobs of this action: "),
		ContainSubstring("denied request: every Job must set spec.ttlSecondsAfterFinished. "),
		ContainSubstring("in spec.jobTemplate of the CustomAction, or have the rule changed"),
		Not(ContainSubstring("spec.jobTemplate.:"))))
	lifted := time.Now()
	lift()
	w.readyReason("ttl", v1alpha1.ReasonReady)
	w.Expect(time.Since(lifted)).To(BeNumerically("<", 70*time.Second), "tried again within a minute")
}

func TestTimeToLiveOfTheTemplateIsTheJobs(t *testing.T) {
	w := newWorld(t)
	w.ttlPolicy()
	w.work(func(a *v1alpha1.CustomAction) { a.Spec.JobTemplate.Spec.TTLSecondsAfterFinished = ptr.To[int32](5) })
	job := w.RunningJob(1)
	w.Expect(job.Spec.TTLSecondsAfterFinished).To(HaveValue(BeEquivalentTo(jobspec.MinTTL.Seconds())), "the result must be read before")
	w.Succeed(job, podcontract.Result{})
	w.succeeds()
}

// TestPolicyThatComesAfterTheDryRun refuses the Job of a run. Both objects report it, and the run
// continues when the policy is removed.
func TestPolicyThatComesAfterTheDryRun(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	lift := w.ttlPolicy()
	w.StartPipeline(map[string]string{"Target": "all"})
	w.Await(func(g Gomega) {
		running := meta.FindStatusCondition(w.PipelineJob(g).Status.Conditions, v1alpha1.ConditionRunning)
		g.Expect(running).NotTo(BeNil())
		g.Expect(running.Reason).To(Equal(v1alpha1.ReasonJobRefused))
		g.Expect(running.Message).To(And(ContainSubstring("every Job must set spec.ttlSecondsAfterFinished"), ContainSubstring("have the rule changed")))
	})
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonJobRefused)
	lift()
	w.Succeed(w.RunningJob(1), podcontract.Result{})
	w.succeeds()
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// TestPodThatIsRefusedAfterTheDryRun creates an event like the Job controller. The action is
// examined again, and its message names the containers although the cache has no specs.
func TestPodThatIsRefusedAfterTheDryRun(t *testing.T) {
	w, _ := begin(t)
	job := w.RunningJob(1)
	w.create(w.caseObjects("13-limitrange-min")[0])
	small := w.plainPod()
	small.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m")}
	w.awaitRefusal(small)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: job.Name + "-x7k2p", Namespace: w.Namespace}, Spec: job.Spec.Template.Spec}
	refusal := w.Kube.Create(w.Ctx, pod)
	w.Expect(refusal).To(HaveOccurred())
	now := metav1.Now()
	w.Expect(w.Kube.Create(w.Ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: "refused", Namespace: w.Namespace},
		InvolvedObject: corev1.ObjectReference{Kind: "Job", Namespace: w.Namespace, Name: job.Name},
		Reason:         "FailedCreate", Message: "Error creating: " + refusal.Error(),
		FirstTimestamp: now, LastTimestamp: now, Count: 3, Type: corev1.EventTypeWarning,
	})).To(Succeed())
	w.isRunning(metav1.ConditionFalse, v1alpha1.ReasonPodRefused, "minimum cpu usage per Container is 50m",
		"For the operator's own codepipeline-fetch, codepipeline-progress, codepipeline-report: correct them in spec.runner.resources")
	w.ready(metav1.ConditionFalse, v1alpha1.ReasonJobRefused)
}

// marked changes a template so that it satisfies the policies of demand.
func marked(name string) func(*v1alpha1.CustomAction) {
	return func(a *v1alpha1.CustomAction) {
		template := &a.Spec.JobTemplate
		template.Labels = map[string]string{"team": "web"}
		template.Spec.Template.Labels = map[string]string{"team": "web"}
		template.Spec.Template.Spec.PriorityClassName = name
		template.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpEqual, Value: "ci", Effect: corev1.TaintEffectNoSchedule}}
	}
}

func (w *world) priorityClass() (name string) {
	class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "ci-" + w.Namespace}, Value: 7}
	w.Expect(w.Kube.Create(w.Ctx, class)).To(Succeed())
	w.liftAtTheEnd(class)
	return class.Name
}

// ofNamespace returns the match constraints for Jobs and pods in the test's namespace.
func (w *world) ofNamespace() *admissionv1.MatchResources {
	rule := func(group, kind string) admissionv1.NamedRuleWithOperations {
		return admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: []string{kind}},
		}}
	}
	return &admissionv1.MatchResources{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.Namespace}},
		ResourceRules:     []admissionv1.NamedRuleWithOperations{rule("batch", "jobs"), rule("", "pods")},
	}
}

// demand puts a policy in force that requires a label, a priority class and a toleration on Jobs
// and pods.
func (w *world) demand(priorityClass string) {
	const spec = `(object.kind == "Job" ? object.spec.template.spec : object.spec)`
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "demand-" + w.Namespace}}
	policy.Spec.MatchConstraints = w.ofNamespace()
	policy.Spec.Validations = []admissionv1.Validation{
		{Expression: `has(object.metadata.labels) && "team" in object.metadata.labels`, Message: "set the label team"},
		{Expression: `has(` + spec + `.priorityClassName) && ` + spec + `.priorityClassName == "` + priorityClass + `"`, Message: "set the priority class"},
		{Expression: `has(` + spec + `.tolerations) && ` + spec + `.tolerations.exists(t, has(t.key) && t.key == "dedicated")`, Message: "set the toleration"},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: policy.ObjectMeta}
	binding.Spec.PolicyName = policy.Name
	binding.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Deny}
	w.Expect(w.Kube.Create(w.Ctx, policy)).To(Succeed())
	w.Expect(w.Kube.Create(w.Ctx, binding)).To(Succeed())
	w.liftAtTheEnd(policy, binding)
	w.awaitRefusal(w.plainPod())
}

// TestFieldsThatPoliciesDemand are set in the template and reach the Job and its pod.
func TestFieldsThatPoliciesDemand(t *testing.T) {
	w := newWorld(t)
	class := w.priorityClass()
	w.demand(class)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonJobRefused)).To(ContainSubstring("denied request: set the label team"))
	w.change(marked(class))
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.StartPipeline(map[string]string{"Target": "all"})
	w.Succeed(w.RunningJob(1), podcontract.Result{}) // the policy accepts the pod too
	w.succeeds()
}

// TestPodsAloneAreRefused: the Job satisfies the policy, but its pods do not.
func TestPodsAloneAreRefused(t *testing.T) {
	w := newWorld(t)
	class := w.priorityClass()
	w.demand(class)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(marked(class), func(a *v1alpha1.CustomAction) { a.Spec.JobTemplate.Spec.Template.Labels = nil }))).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonJobRefused)).To(And(
		HavePrefix("the cluster would refuse the pods of this action: "), ContainSubstring("set the label team")))
}

// TestPriorityClassThatIsNotThere: the CustomAction reports it before there is a job, unless the
// pipeline sets the name.
func TestPriorityClassThatIsNotThere(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		account.Spec.Grants[0].AllowReferencesIn = []v1alpha1.ReferencePlace{v1alpha1.ReferenceInPriorityClassName}
	})
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) { a.Spec.JobTemplate.Spec.Template.Spec.PriorityClassName = "urgent" }))).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonJobRefused)).To(And(
		ContainSubstring("no PriorityClass with name urgent was found"), ContainSubstring("correct priorityClassName")))
	w.change(func(a *v1alpha1.CustomAction) {
		a.Spec.JobTemplate.Spec.Template.Spec.PriorityClassName = "$(config.Target)"
	})
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// TestFieldsThatPoliciesAdd: a MutatingAdmissionPolicy changes each Job, which does not affect the
// run.
func TestFieldsThatPoliciesAdd(t *testing.T) {
	w := newWorld(t)
	class := w.priorityClass()
	policy := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "add-" + w.Namespace}}
	policy.Spec = admissionv1.MutatingAdmissionPolicySpec{
		MatchConstraints: w.ofNamespace(), ReinvocationPolicy: admissionv1.NeverReinvocationPolicy, FailurePolicy: ptr.To(admissionv1.Fail),
		MatchConditions: []admissionv1.MatchCondition{{Name: "jobs", Expression: `object.kind == "Job"`}},
		Mutations: []admissionv1.Mutation{
			{PatchType: admissionv1.PatchTypeApplyConfiguration, ApplyConfiguration: &admissionv1.ApplyConfiguration{Expression: `Object{
				metadata: Object.metadata{labels: {"team": "web"}},
				spec: Object.spec{ttlSecondsAfterFinished: 86400, template: Object.spec.template{
					metadata: Object.spec.template.metadata{labels: {"team": "web"}},
					spec: Object.spec.template.spec{priorityClassName: "` + class + `"}
				}}}`}},
			{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: `[JSONPatch{
				op: "add", path: "/spec/template/spec/tolerations",
				value: [Object.spec.template.spec.tolerations{key: "dedicated", operator: "Equal", value: "ci", effect: "NoSchedule"}]
			}]`}},
		},
	}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: policy.ObjectMeta}
	binding.Spec.PolicyName = policy.Name
	w.Expect(w.Kube.Create(w.Ctx, policy)).To(Succeed())
	w.Expect(w.Kube.Create(w.Ctx, binding)).To(Succeed())
	w.liftAtTheEnd(policy, binding)
	w.Await(func(g Gomega) {
		job := w.plainJob()
		g.Expect(w.Kube.Create(w.Ctx, job, client.DryRunAll)).To(Succeed())
		g.Expect(job.Labels).To(HaveKeyWithValue("team", "web"))
	})
	w.demand(class)
	w.work()
	job := w.RunningJob(1)
	w.Expect(job.Spec.Template.Spec.PriorityClassName).To(Equal(class))
	w.Expect(job.Spec.Template.Spec.Tolerations).To(HaveLen(1))
	w.Succeed(job, podcontract.Result{})
	w.succeeds()
}

// operatorsRole makes the operator run as a user with a changed version of the operator's
// ClusterRole.
func (w *world) operatorsRole(change func([]rbacv1.PolicyRule)) {
	content, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", "role.yaml"))
	w.Expect(err).NotTo(HaveOccurred())
	role := &rbacv1.ClusterRole{}
	w.Expect(yaml.Unmarshal([]byte(strings.Split(string(content), "\n---\n")[0]), role)).To(Succeed())
	role.Name = "operator-" + w.Namespace
	change(role.Rules)
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: role.Name}},
	}
	w.Expect(w.Kube.Create(w.Ctx, role)).To(Succeed())
	w.Expect(w.Kube.Create(w.Ctx, binding)).To(Succeed())
	w.liftAtTheEnd(role, binding)
	w.Config = rest.CopyConfig(w.Config)
	w.Config.Impersonate.UserName = role.Name
}

// TestPermissionToTryPods: the operator's role suffices for the dry run of a pod. A missing
// permission does not count as a refusal.
func TestPermissionToTryPods(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]rbacv1.PolicyRule)
		is     metav1.ConditionStatus
		reason string
	}{
		"granted": {func([]rbacv1.PolicyRule) {}, metav1.ConditionFalse, v1alpha1.ReasonJobRefused},
		"missing": {func(rules []rbacv1.PolicyRule) {
			for i := range rules {
				if len(rules[i].Resources) == 1 && rules[i].Resources[0] == "pods" {
					rules[i].Verbs = []string{"get", "list", "watch"}
				}
			}
		}, metav1.ConditionTrue, v1alpha1.ReasonReady},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.quotaOnLimits()
			w.operatorsRole(c.change)
			w.operate()
			w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
			w.ready(c.is, c.reason)
		})
	}
}
