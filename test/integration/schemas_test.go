package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestSchemasRefuseWhatTheAPIServerDoes checks that the schemas for editors are no stricter than
// the API server: it refuses each file that they do (TestSchemasRefuse of hack/schema).
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
