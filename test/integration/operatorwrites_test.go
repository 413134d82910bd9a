package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// trick is a request that might disclose the content of a Secret without the permission to read it.
type trick struct {
	method, query, contentType, body string
}

// tricks returns requests about the Secret "payroll".
func tricks() map[string]trick {
	const (
		merge, jsonPatch, apply = "application/merge-patch+json", "application/json-patch+json", "application/apply-patch+yaml"
		named                   = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"payroll"}}`
	)
	return map[string]trick{
		"get":                  {method: http.MethodGet},
		"an empty merge patch": {http.MethodPatch, "", merge, "{}"},
		"an empty apply":       {http.MethodPatch, "fieldManager=x", apply, named},
		"copy to a label": {http.MethodPatch, "", jsonPatch,
			`[{"op":"add","path":"/metadata/labels","value":{}},{"op":"copy","from":"/data/password","path":"/metadata/labels/x"}]`},
		"copy to a finalizer, which is refused": {http.MethodPatch, "", jsonPatch,
			`[{"op":"add","path":"/metadata/finalizers","value":[]},{"op":"copy","from":"/data/password","path":"/metadata/finalizers/-"}]`},
		"a test of a guess":       {http.MethodPatch, "", jsonPatch, `[{"op":"test","path":"/data/password","value":"Z3Vlc3M="}]`},
		"a replacement":           {http.MethodPut, "dryRun=All", "application/json", named},
		"a dry run of a deletion": {http.MethodDelete, "dryRun=All&propagationPolicy=Foreground", "", ""},
		"a deletion":              {http.MethodDelete, "propagationPolicy=Foreground", "", ""},
	}
}

// do makes a request about the Secret "payroll" of a namespace.
func (w *world) do(config *rest.Config, namespace string, t trick) (code int, answer string) {
	w.T.Helper()
	reached, err := rest.HTTPClientFor(config)
	w.Expect(err).NotTo(HaveOccurred())
	defer reached.CloseIdleConnections()
	host, _, err := rest.DefaultServerUrlFor(config)
	w.Expect(err).NotTo(HaveOccurred())
	secret := host.JoinPath("api/v1/namespaces", namespace, "secrets/payroll")
	secret.RawQuery = t.query
	request, err := http.NewRequestWithContext(w.Ctx, t.method, secret.String(), strings.NewReader(t.body))
	w.Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", t.contentType)
	response, err := reached.Do(request)
	w.Expect(err).NotTo(HaveOccurred())
	content, err := io.ReadAll(response.Body)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(response.Body.Close()).To(Succeed())
	return response.StatusCode, string(content)
}

const encodedForeign = "Y29ycmVjdC1iYXR0ZXJ5LXN0YXBsZQ=="

// TestOperatorsTokenReadsNoSecret: an attacker with the operator's token tries to get a Secret's
// content.
func TestOperatorsTokenReadsNoSecret(t *testing.T) {
	w := newWorld(t)
	w.install()
	w.Expect(w.Kube.Create(w.Ctx, w.secret("payroll"))).To(Succeed())
	token := w.operatorsToken()
	for name, trick := range tricks() {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			code, answer := w.do(token, w.Namespace, trick)
			g.Expect(code).To(Equal(http.StatusForbidden), answer)
			g.Expect(answer).To(ContainSubstring(`secrets \"payroll\" is forbidden`))
			g.Expect(answer).NotTo(Or(ContainSubstring(valueOfForeign), ContainSubstring(encodedForeign)))
		})
	}
	untouched := &corev1.Secret{}
	w.Expect(w.Kube.Get(w.Ctx, client.ObjectKey{Namespace: w.Namespace, Name: "payroll"}, untouched)).To(Succeed())
	w.Expect(untouched.DeletionTimestamp).To(BeNil())
	w.Expect(untouched.Data).To(HaveKeyWithValue("password", []byte(valueOfForeign)))
}

// TestPermissionToDeleteIsOneToRead without the policy, as described in docs/permissions.md.
func TestPermissionToDeleteIsOneToRead(t *testing.T) {
	w := newWorld(t)
	w.install()
	free := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "without-policies-"}}
	w.Expect(w.Kube.Create(w.Ctx, free)).To(Succeed())
	secret := w.secret("payroll")
	secret.Namespace = free.Name
	w.Expect(w.Kube.Create(w.Ctx, secret)).To(Succeed())
	code, answer := w.do(w.operatorsToken(), free.Name, tricks()["a dry run of a deletion"])
	w.Expect(code).To(BeNumerically("<", 300))
	w.Expect(answer).To(ContainSubstring(encodedForeign))
	w.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(secret), secret)).To(Succeed())
	w.Expect(secret.DeletionTimestamp).To(BeNil())
}

// part makes an object look like a part of a PipelineJob.
func part(object client.Object, owner string) {
	object.SetLabels(map[string]string{v1alpha1.LabelPipelineJob: owner})
	object.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "PipelineJob", Name: owner, UID: types.UID("uid-" + owner), Controller: ptr.To(true),
	}})
}

// attempt is a write by the operator's user, with all permissions.
type attempt struct {
	// change and owner change the allowed object.
	change func(client.Object)
	owner  func(*metav1.OwnerReference)
	// denied is the policy's message. Empty means that the write is allowed.
	denied string
}

func (a attempt) apply(object client.Object) {
	if a.owner != nil {
		owners := object.GetOwnerReferences()
		a.owner(&owners[0])
		object.SetOwnerReferences(owners)
	}
	if a.change != nil {
		a.change(object)
	}
}

const (
	onlyItsOwn  = "may write only Jobs and Secrets that a PipelineJob controls"
	onlyItsOwn2 = "may replace and delete only Jobs and Secrets that a PipelineJob controls"
	noSystem    = "may write no Jobs or Secrets in its own namespace"
)

// TestOperatorCreatesOnlyPartsOfPipelineJobs covers Jobs, Secrets and dry runs.
func TestOperatorCreatesOnlyPartsOfPipelineJobs(t *testing.T) {
	w := newWorld(t)
	w.install()
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "kube-"}}
	w.Expect(w.Kube.Create(w.Ctx, system)).To(Succeed())
	w.enforce(system.Name)
	operator := w.as(operatorsUser)
	attempts := map[string]attempt{
		"a part":                         {},
		"no owner":                       {change: func(o client.Object) { o.SetOwnerReferences(nil) }, denied: onlyItsOwn},
		"no label":                       {change: func(o client.Object) { o.SetLabels(nil) }, denied: onlyItsOwn},
		"the label of another":           {change: func(o client.Object) { o.SetLabels(map[string]string{v1alpha1.LabelPipelineJob: "other"}) }, denied: onlyItsOwn},
		"an owner of another kind":       {owner: func(o *metav1.OwnerReference) { o.Kind = "CustomAction" }, denied: onlyItsOwn},
		"an owner of another group":      {owner: func(o *metav1.OwnerReference) { o.APIVersion = "example.com/v1" }, denied: onlyItsOwn},
		"an owner that does not control": {owner: func(o *metav1.OwnerReference) { o.Controller = nil }, denied: onlyItsOwn},
		"in its own namespace":           {change: func(o client.Object) { o.SetNamespace(systemNamespace) }, denied: noSystem},
		"in a system namespace":          {change: func(o client.Object) { o.SetNamespace(system.Name) }, denied: noSystem},
	}
	for name, c := range attempts {
		for kind, object := range map[string]client.Object{"Secret": w.secret("part"), "Job": w.plainJob()} {
			for mode, options := range map[string][]client.CreateOption{"for real": nil, "by a dry run": {client.DryRunAll}} {
				t.Run(kind+": "+name+" "+mode, func(t *testing.T) {
					object := object.DeepCopyObject().(client.Object)
					part(object, "owner")
					c.apply(object)
					w.isDecided(t, operator.Create(w.Ctx, object, options...), c.denied)
				})
			}
		}
	}
	t.Run("a Secret for a token", func(t *testing.T) {
		secret := w.secret("token")
		part(secret, "owner")
		secret.Type = corev1.SecretTypeServiceAccountToken
		secret.Annotations = map[string]string{corev1.ServiceAccountNameKey: "default"}
		w.isDecided(t, operator.Create(w.Ctx, secret), "only Secrets of the type Opaque")
	})
	t.Run("a pod by a dry run", func(t *testing.T) {
		w.isDecided(t, operator.Create(w.Ctx, w.plainPod(), client.DryRunAll), "")
	})
	t.Run("a pod", func(t *testing.T) {
		w.isDecided(t, operator.Create(w.Ctx, w.plainPod()), "may create pods only in a dry run")
	})
	t.Run("others are not affected", func(t *testing.T) {
		w.isDecided(t, w.as("alice").Create(w.Ctx, w.plainPod()), "")
		w.isDecided(t, w.as("alice").Create(w.Ctx, w.plainJob()), "")
	})
}

// isDecided compares the response to a write with the expected decision of a policy.
func (w *world) isDecided(t *testing.T, answer error, denied string) {
	t.Helper()
	g := NewWithT(t)
	if denied == "" {
		g.Expect(client.IgnoreAlreadyExists(answer)).To(Succeed())
		return
	}
	g.Expect(apierrors.IsForbidden(answer)).To(BeTrue(), "%v", answer)
	g.Expect(answer.Error()).To(And(ContainSubstring("denied request"), ContainSubstring(denied)))
}

// TestOperatorTouchesOnlyPartsOfPipelineJobs tries to change objects of others in any way, and the
// operator's own.
func TestOperatorTouchesOnlyPartsOfPipelineJobs(t *testing.T) {
	w := newWorld(t)
	w.install()
	operator := w.as(operatorsUser)
	for kind, object := range map[string]client.Object{"Secret": w.secret("foreign"), "Job": w.plainJob()} {
		foreign, own := object, object.DeepCopyObject().(client.Object)
		own.SetName("own")
		part(own, "owner")
		w.Expect(w.Kube.Create(w.Ctx, foreign)).To(Succeed())
		w.Expect(w.Kube.Create(w.Ctx, own)).To(Succeed())
		taken := foreign.DeepCopyObject().(client.Object)
		part(taken, "owner")
		t.Run(kind+": taken over", func(t *testing.T) { w.isDecided(t, operator.Update(w.Ctx, taken), onlyItsOwn2) })
		t.Run(kind+": replaced", func(t *testing.T) {
			w.isDecided(t, operator.Update(w.Ctx, foreign.DeepCopyObject().(client.Object)), onlyItsOwn)
		})
		t.Run(kind+": deleted", func(t *testing.T) { w.isDecided(t, operator.Delete(w.Ctx, foreign), onlyItsOwn2) })
		t.Run(kind+": deleted by a dry run", func(t *testing.T) {
			w.isDecided(t, operator.Delete(w.Ctx, foreign, client.DryRunAll, client.PropagationPolicy(metav1.DeletePropagationForeground)), onlyItsOwn2)
		})
		t.Run(kind+": deleted with all", func(t *testing.T) {
			w.isDecided(t, operator.DeleteAllOf(w.Ctx, object.DeepCopyObject().(client.Object), client.InNamespace(w.Namespace),
				client.MatchingFields{"metadata.name": foreign.GetName()}), onlyItsOwn2)
		})
		t.Run(kind+": given away", func(t *testing.T) {
			given := own.DeepCopyObject().(client.Object)
			part(given, "other")
			w.isDecided(t, operator.Update(w.Ctx, given), "may not give a Job or Secret of one PipelineJob to another")
		})
		t.Run(kind+": its own", func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(w.Kube.Get(w.Ctx, client.ObjectKeyFromObject(foreign), foreign)).To(Succeed())
			g.Expect(foreign.GetDeletionTimestamp()).To(BeNil())
			w.isDecided(t, operator.Update(w.Ctx, own.DeepCopyObject().(client.Object)), "")
			w.isDecided(t, operator.Delete(w.Ctx, own, client.PropagationPolicy(metav1.DeletePropagationBackground)), "")
		})
	}
	t.Run("a pod", func(t *testing.T) {
		w.Expect(w.Kube.Create(w.Ctx, w.plainPod())).To(Succeed())
		w.isDecided(t, operator.Delete(w.Ctx, w.plainPod()), "may create pods only in a dry run")
	})
}

// TestAPIServerKeepsUIDsApart: the operator recognizes its Secrets by UIDs.
func TestAPIServerKeepsUIDsApart(t *testing.T) {
	w := newWorld(t)
	first := w.secret("one")
	w.Expect(w.Kube.Create(w.Ctx, first)).To(Succeed())
	replacement := w.secret("one")
	replacement.UID = first.UID
	w.Expect(w.Kube.Update(w.Ctx, replacement)).To(Succeed(), "without its version")
	w.Expect(replacement.UID).To(Equal(first.UID))
	w.Expect(w.Kube.Update(w.Ctx, w.secret("one"))).To(Succeed(), "without its UID")

	other := w.secret("one")
	other.UID = "11111111-2222-4333-8444-555555555555"
	w.Expect(apierrors.IsConflict(w.Kube.Update(w.Ctx, other))).To(BeTrue())
	w.Expect(apierrors.IsConflict(w.Kube.Delete(w.Ctx, w.secret("one"), client.Preconditions{UID: &other.UID}))).To(BeTrue())
	w.Expect(apierrors.IsAlreadyExists(w.Kube.Create(w.Ctx, w.secret("one")))).To(BeTrue())
	w.Expect(w.Kube.Delete(w.Ctx, w.secret("one"), client.Preconditions{UID: &first.UID})).To(Succeed())
	w.Expect(apierrors.IsNotFound(w.Kube.Update(w.Ctx, replacement))).To(BeTrue())
}

// TestOperatorWorksWithItsTokenUnderItsPolicies runs a job with a Secret from its poll to its end,
// including renewal.
func TestOperatorWorksWithItsTokenUnderItsPolicies(t *testing.T) {
	w := newWorld(t)
	w.install()
	w.Config = w.operatorsToken()
	w.workWithPassword()
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady) // the dry runs of a Job and of a pod are allowed
	job := w.RunningJob(1)
	key := client.ObjectKey{Namespace: w.Namespace, Name: naming.SecretName(w.PipelineJob(w))}
	made := &corev1.Secret{}
	w.Expect(w.Kube.Get(w.Ctx, key, made)).To(Succeed())
	w.Expect(w.PipelineJob(w).Status.Protocol.Secret.UID).To(Equal(made.UID))
	w.Expect(made.Data["config.Token"]).To(BeEquivalentTo(password))

	w.Clock.Step(6 * time.Minute)
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodRunning}) // a change, to trigger a reconciliation
	renewed := &corev1.Secret{}
	w.Await(func(g Gomega) {
		g.Expect(w.Kube.Get(w.Ctx, key, renewed)).To(Succeed())
		g.Expect(credentialsOf(g, renewed)).NotTo(Equal(credentialsOf(g, made)))
	})
	w.Expect(renewed.UID).To(Equal(made.UID))
	w.Succeed(job, podcontract.Result{})
	w.succeeds()
	w.Await(func(g Gomega) {
		g.Expect(apierrors.IsNotFound(w.Kube.Get(w.Ctx, key, &corev1.Secret{}))).To(BeTrue())
	})
	w.Expect(w.Kube.Delete(w.Ctx, w.PipelineJob(w))).To(Succeed())
	w.Await(func(g Gomega) {
		var jobs v1alpha1.PipelineJobList
		g.Expect(w.Kube.List(w.Ctx, &jobs, client.InNamespace(w.Namespace))).To(Succeed())
		g.Expect(jobs.Items).To(BeEmpty())
	})
}

func credentialsOf(g Gomega, secret *corev1.Secret) podcontract.Credentials {
	var handover podcontract.Handover
	g.Expect(json.Unmarshal(secret.Data[podcontract.HandoverKey], &handover)).To(Succeed())
	return handover.Credentials
}

// TestActionInASystemNamespaceIsTold: its condition says that its Jobs are refused.
func TestActionInASystemNamespaceIsTold(t *testing.T) {
	w := newWorld(t)
	w.install()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "kube-"}}
	w.Expect(w.Kube.Create(w.Ctx, namespace)).To(Succeed())
	w.enforce(namespace.Name)
	w.Expect(w.Kube.Create(w.Ctx, harness.NewAccount(namespace.Name))).To(Succeed())
	w.Namespace, w.Config = namespace.Name, w.operatorsToken()
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonJobRefused)).To(ContainSubstring(noSystem))
}
