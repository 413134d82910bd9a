package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestSchemasRefuseWhatTheAPIServerDoes checks that the schemas for editors are not stricter than
// the API server, which refuses the same files (TestSchemasRefuse of hack/schema).
func TestSchemasRefuseWhatTheAPIServerDoes(t *testing.T) {
	w := newWorld(t)
	files, err := filepath.Glob("../../hack/schema/testdata/refused/*.yaml")
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(files).NotTo(BeEmpty())
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			g := NewWithT(t)
			text, err := os.ReadFile(file)
			g.Expect(err).NotTo(HaveOccurred())
			object := &unstructured.Unstructured{}
			g.Expect(yaml.UnmarshalStrict(text, &object.Object)).To(Succeed())
			if object.GetNamespace() != "" {
				object.SetNamespace(w.Namespace)
			}
			g.Expect(object.GetAPIVersion()).To(Equal(v1alpha1.GroupVersion.String()))
			err = w.Kube.Create(w.Ctx, object, client.DryRunAll, client.FieldValidation("Strict"))
			g.Expect(err).To(Or(Satisfy(apierrors.IsInvalid), Satisfy(apierrors.IsBadRequest)))
		})
	}
}

// TestTimeThatGoCantReadIsRefused writes times to the status of a CustomAction. With a time that Go
// can't parse, an operator that starts could not read any CustomAction.
func TestTimeThatGoCantReadIsRefused(t *testing.T) {
	w := newWorld(t)
	action := w.Action()
	w.Expect(w.Kube.Create(w.Ctx, action)).To(Succeed())
	write := func(value string) error {
		return w.Kube.Status().Patch(w.Ctx, action, client.RawPatch(types.MergePatchType, []byte(`{"status":{"lastPollTime":`+value+`}}`)))
	}
	for _, value := range []string{`"2026-01-01t00:00:00z"`, `"2026-01-01T00:00:00ZTx"`, `"2026-01-01T00:00:00+99:99"`, `"2026-02-29T00:00:00Z"`, `[]`, `[{}]`} {
		w.Expect(write(value)).To(Satisfy(apierrors.IsInvalid), value)
	}
	w.Expect(write(`"2026-01-01T01:00:00.5+01:00"`)).To(Succeed())
	var list v1alpha1.CustomActionList
	w.Expect(w.Kube.List(w.Ctx, &list, client.InNamespace(w.Namespace))).To(Succeed())
}
