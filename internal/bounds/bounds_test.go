package bounds

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

func TestMemory(t *testing.T) {
	type pair struct {
		name string
		next *pair
	}
	text, word := int(unsafe.Sizeof("")), int(unsafe.Sizeof(0))
	for name, c := range map[string]struct {
		value any
		want  int
	}{
		"nothing":                    {nil, 0},
		"a number":                   {1, word},
		"a text":                     {"abc", text + 3},
		"bytes":                      {make([]byte, 10), 3*word + 10},
		"room for more":              {make([]int, 1, 10), 3*word + 10*word},
		"texts":                      {[]string{"a", "bc"}, 3*word + 2*text + 3},
		"a structure":                {pair{name: "a"}, text + word + 1},
		"one that points to another": {&pair{name: "a", next: &pair{name: "bc"}}, word + 2*(text+word) + 3},
		"an interface":               {[]any{"a"}, 3*word + 2*word + text + 1},
		"a map":                      {map[string]string{"a": "bc"}, word + 2*text + mapEntry + 3},
		"an array":                   {[2]string{"a", "b"}, 2*text + 2},
	} {
		t.Run(name, func(t *testing.T) { NewWithT(t).Expect(Memory(c.value)).To(Equal(c.want)) })
	}
}

// anAction returns a CustomAction whose step has these arguments.
func anAction(arguments ...string) *v1alpha1.CustomAction {
	action := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "work", Annotations: map[string]string{"a": "b"}, Labels: map[string]string{"a": "b"}}}
	action.Spec.ActionType.Provider, action.Spec.TTLSecondsAfterFinished = "p", ptr.To[int32](60)
	action.Spec.JobTemplate.Spec.Template.Spec.Containers = []corev1.Container{{Name: "step", Args: arguments}}
	return action
}

// scriptOf returns a script with which the spec has this size, in bytes of JSON.
func scriptOf(g *WithT, size int) string {
	action := anAction(strings.Repeat("x", limits.ActionSpec))
	g.Expect(problemOf(&action.Spec)).NotTo(BeEmpty())
	var with int
	_, err := fmt.Sscanf(strings.ReplaceAll(problemOf(&action.Spec), ",", ""), "spec has %d bytes", &with)
	g.Expect(err).NotTo(HaveOccurred())
	return strings.Repeat("x", size-(with-limits.ActionSpec))
}

func TestActionThatIsTooLarge(t *testing.T) {
	g := NewWithT(t)
	manyContainers := anAction()
	manyContainers.Spec.JobTemplate.Spec.Template.Spec.Containers = make([]corev1.Container, 1000)
	for name, c := range map[string]struct {
		action *v1alpha1.CustomAction
		says   string
	}{
		"small":           {anAction("echo"), ""},
		"at the limit":    {anAction(scriptOf(g, limits.ActionSpec)), ""},
		"one over":        {anAction(scriptOf(g, limits.ActionSpec+1)), "spec has 65,537 bytes of JSON, and may have 65,536 at most, because the operator keeps it in memory. Put scripts and files into an image"},
		"many containers": {manyContainers, "may take 262,144 at most, because the operator keeps it in memory"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			for range 2 { // a cache may trim an object again
				TrimAction(c.action)
				why, is := TooLarge(c.action)
				g.Expect(is).To(Equal(c.says != ""), why)
				g.Expect(why).To(ContainSubstring(c.says))
				g.Expect(c.action.Spec.JobTemplate.Spec.Template.Spec.Containers == nil).To(Equal(is))
				g.Expect(c.action.Spec.ActionType.Provider).To(Equal("p"), "whose jobs it takes stays known")
				g.Expect(c.action.Spec.TTLSecondsAfterFinished).To(HaveValue(BeEquivalentTo(60)))
				g.Expect(c.action.Annotations).NotTo(HaveKey("a"))
				g.Expect(c.action.Labels).To(BeEmpty())
			}
		})
	}
}

// TestMarksAreTheCachesAlone: authors can't set the annotations with which the cache marks dropped
// data.
func TestMarksAreTheCachesAlone(t *testing.T) {
	g := NewWithT(t)
	action := anAction("echo")
	action.Annotations = map[string]string{annotationTooLarge: "forged"}
	TrimAction(action)
	_, is := TooLarge(action)
	g.Expect(is).To(BeFalse())
}

func TestTrimMeta(t *testing.T) {
	g := NewWithT(t)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "x", Finalizers: []string{"ours", "another"}, Labels: map[string]string{"a": "b"},
		Annotations:     map[string]string{"kept": "short", "long": strings.Repeat("x", keptAnnotation+1), "other": "x"},
		OwnerReferences: []metav1.OwnerReference{{Name: "other"}, {Name: "controller", Controller: ptr.To(true)}},
		ManagedFields:   []metav1.ManagedFieldsEntry{{}},
	}}
	TrimMeta(pod, "ours", "kept", "long")
	g.Expect(pod.ObjectMeta).To(Equal(metav1.ObjectMeta{
		Name: "x", Finalizers: []string{"ours", "another"}, Annotations: map[string]string{"kept": "short"},
		OwnerReferences: []metav1.OwnerReference{{Name: "controller", Controller: ptr.To(true)}},
	}))
}

// TestFinalizersAreNotLost uses more finalizers than a cache keeps.
func TestFinalizersAreNotLost(t *testing.T) {
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("example.com/%d", i))
	}
	for name, c := range map[string]struct {
		has, want []string
		change    func(client.Object) bool
	}{
		"few, and one is added":    {[]string{"a"}, []string{"a", "ours"}, Adds("ours")},
		"few, and one is removed":  {[]string{"a", "ours"}, []string{"a"}, Removes("ours")},
		"many, and one is added":   {many, append(many[:200:200], "ours"), Adds("ours")},
		"many, and one is removed": {append(many[:200:200], "ours"), many, Removes("ours")},
		"many, and it is there":    {append(many[:200:200], "ours"), append(many[:200:200], "ours"), Adds("ours")},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			scheme := runtime.NewScheme()
			g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
			action := anAction()
			action.Finalizers = c.has
			kube := fake.NewClientBuilder().WithScheme(scheme).WithObjects(action).Build()
			cached := &v1alpha1.CustomAction{}
			g.Expect(kube.Get(t.Context(), client.ObjectKeyFromObject(action), cached)).To(Succeed())
			TrimMeta(cached, "ours")
			g.Expect(Memory(cached.Finalizers)).To(BeNumerically("<=", keptFinalizers))
			g.Expect(ChangeFinalizers(t.Context(), kube, kube, cached, c.change)).To(Succeed())
			g.Expect(kube.Get(t.Context(), client.ObjectKeyFromObject(action), cached)).To(Succeed())
			g.Expect(cached.Finalizers).To(Equal(c.want))
		})
	}
}

// TestForgedStatusIsBounded: users may be able to write the status of a CustomAction.
func TestForgedStatusIsBounded(t *testing.T) {
	g, action := NewWithT(t), anAction()
	for i := range 40 {
		action.Status.Conditions = append(action.Status.Conditions, metav1.Condition{Type: fmt.Sprint("Forged", i), Message: strings.Repeat("x", 32<<10)})
	}
	TrimAction(action)
	g.Expect(Memory(action)).To(BeNumerically("<", Object))
}

// TestMemoryOfTimes: times share their location.
func TestMemoryOfTimes(t *testing.T) {
	now := metav1.NewTime(time.Now())
	NewWithT(t).Expect(Memory(&now)).To(BeEquivalentTo(reflect.TypeFor[*metav1.Time]().Size() + reflect.TypeFor[metav1.Time]().Size()))
}
