package integration

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

const (
	// systemNamespace and operatorsUser are those of config/default.
	systemNamespace = "pipelinejob-system"
	operatorsUser   = "system:serviceaccount:" + systemNamespace + ":pipelinejob-operator"
	// labelPolicies marks the namespaces of tests in which the policies of config/admission are in
	// force. In other tests the operator is another user.
	labelPolicies = "test.pipelinejob.dev/policies"
)

// build builds a kustomization with kubectl.
func build(folder string) ([]byte, error) {
	// Stat the files: the cache of go test only tracks files that the test itself accesses.
	err := filepath.WalkDir("../../config", func(name string, _ fs.DirEntry, err error) error {
		_, statErr := os.Stat(name)
		return errors.Join(err, statErr)
	})
	if err != nil {
		return nil, err
	}
	built := exec.Command(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), "kustomize", folder) //nolint:gosec // the kubectl of the tests
	var errs bytes.Buffer
	built.Stderr = &errs
	content, err := built.Output()
	if err != nil {
		return nil, errors.Join(err, errors.New(errs.String()))
	}
	return content, nil
}

// kustomized returns the objects of a kustomization.
func kustomized(folder string) ([]*unstructured.Unstructured, error) {
	content, err := build(folder)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, object); err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
}

// installed returns the service accounts, roles and policies of config/default.
var installed = sync.OnceValues(func() ([]*unstructured.Unstructured, error) {
	objects, err := kustomized(filepath.Join("..", "..", "config", "default"))
	left := []string{"CustomResourceDefinition", "Deployment"}
	return slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return slices.Contains(left, o.GetKind()) }), err
})

var installing sync.Mutex

// install applies the installed objects, with the policies restricted to namespaces with
// labelPolicies, and labels the test's namespace.
func (w *world) install() {
	w.T.Helper()
	objects, err := installed()
	w.Expect(err).NotTo(HaveOccurred())
	installing.Lock()
	defer installing.Unlock()
	for _, object := range objects {
		object = object.DeepCopy()
		if object.GetKind() == "ValidatingAdmissionPolicyBinding" {
			w.Expect(unstructured.SetNestedField(object.Object, "true", "spec", "matchResources", "namespaceSelector", "matchLabels", labelPolicies)).To(Succeed())
		}
		w.Expect(w.Kube.Patch(w.Ctx, object, client.Apply, client.FieldOwner("test"), client.ForceOwnership)).To(Succeed(), object.GetKind()) //nolint:staticcheck // of objects that have no apply configuration
	}
	w.enforce(w.Namespace)
	w.enforce(systemNamespace)
}

// enforce puts the policies in force in a namespace, and waits until the API server does.
func (w *world) enforce(name string) {
	w.T.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	before := namespace.DeepCopy()
	namespace.Labels = map[string]string{labelPolicies: "true"}
	w.Expect(w.Kube.Patch(w.Ctx, namespace, client.MergeFrom(before))).To(Succeed())
	operator := w.as(operatorsUser)
	w.Await(func(g Gomega) {
		byHand, foreign := w.pipelineJobByHand(), w.secret("foreign")
		byHand.Namespace, foreign.Namespace = name, name
		g.Expect(w.Kube.Create(w.Ctx, byHand, client.DryRunAll)).To(MatchError(ContainSubstring("denied request")))
		g.Expect(operator.Create(w.Ctx, foreign, client.DryRunAll)).To(MatchError(ContainSubstring("denied request")))
	})
}

// as returns a client of a user who may do everything that no policy forbids.
func (w *world) as(user string) client.Client {
	w.T.Helper()
	config := rest.CopyConfig(w.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
	return w.clientOf(config)
}

func (w *world) clientOf(config *rest.Config) client.Client {
	w.T.Helper()
	made, err := client.New(config, client.Options{Scheme: w.Kube.Scheme()})
	w.Expect(err).NotTo(HaveOccurred())
	return made
}

// operatorsToken returns the access to the API server with the token of the operator of
// config/default.
func (w *world) operatorsToken() *rest.Config {
	w.T.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "pipelinejob-operator", Namespace: systemNamespace}}
	request := &authenticationv1.TokenRequest{}
	w.Expect(w.Kube.SubResource("token").Create(w.Ctx, account, request)).To(Succeed())
	config := rest.AnonymousClientConfig(w.Config)
	config.BearerToken = request.Status.Token
	return config
}

// pipelineJobByHand returns a PipelineJob that a user made.
func (w *world) pipelineJobByHand() *v1alpha1.PipelineJob {
	job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Name: "by-hand", Namespace: w.Namespace}}
	job.Spec.ActionRef.Name = "work"
	job.Spec.AccountRef, job.Spec.Region = w.Action().Spec.AccountRef, "us-east-1"
	job.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "00000000-0000-4000-8000-000000000001", Nonce: "1"}
	return job
}

const valueOfForeign = "correct-battery-staple"

// secret creates a Secret of a user.
func (w *world) secret(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.Namespace}, StringData: map[string]string{"password": valueOfForeign}}
}
