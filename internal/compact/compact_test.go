package compact

import (
	"testing"
	"unsafe"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// aPod returns a pod with an owner.
func aPod() *corev1.Pod {
	made := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: "work-1-0", Labels: map[string]string{"job": "work-1"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "work-1", UID: "1", Controller: ptr.To(true)}},
	}}
	made.Spec.NodeName = "node-1"
	made.Status.Phase = corev1.PodRunning
	made.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "work", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	return made
}

// TestFormsAreSmall: with 10,000 jobs, each byte counts.
func TestFormsAreSmall(t *testing.T) {
	g := NewWithT(t)
	g.Expect(int(unsafe.Sizeof(pod{}))).To(BeNumerically("<=", int(unsafe.Sizeof(corev1.Pod{}))/2))
	g.Expect(int(unsafe.Sizeof(job{}))).To(BeNumerically("<=", int(unsafe.Sizeof(batchv1.Job{}))/2))
}

func TestFormIsOfPodsAndJobsAlone(t *testing.T) {
	g := NewWithT(t)
	secret := &corev1.Secret{}
	g.Expect(Of(secret)).To(BeIdenticalTo(secret))
	g.Expect(whole(secret)).To(BeIdenticalTo(secret))
	g.Expect(whole(nil)).To(BeNil())
	once := Of(aPod())
	g.Expect(Of(once)).To(BeIdenticalTo(once), "a cache transforms some objects again")
}

// TestHandlersReadTheMetadata checks what event handlers and index functions read.
func TestHandlersReadTheMetadata(t *testing.T) {
	g := NewWithT(t)
	form := Of(aPod()).(form)
	g.Expect(form.GetLabels()).To(Equal(aPod().Labels))
	g.Expect(metav1.GetControllerOf(form)).To(Equal(&aPod().OwnerReferences[0]))
	copied := form.DeepCopyObject()
	g.Expect(copied).To(Equal(form))
	g.Expect(copied).NotTo(BeIdenticalTo(form))
}

// TestReadersOfAnIndexerGetWholeObjects uses each method that reads.
func TestReadersOfAnIndexerGetWholeObjects(t *testing.T) {
	g := NewWithT(t)
	everything := func(any) ([]string, error) { return []string{"all"}, nil }
	i := indexer{toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, toolscache.Indexers{"index": everything})}
	kept := Of(aPod())
	g.Expect(i.Add(kept)).To(Succeed())
	all := []any{aPod()}
	g.Expect(i.List()).To(Equal(all))
	g.Expect(i.ByIndex("index", "all")).To(Equal(all))
	g.Expect(i.Index("index", kept)).To(Equal(all))
	found, exists, err := i.Get(kept)
	g.Expect([]any{found, exists, err}).To(Equal([]any{aPod(), true, nil}))
	found, exists, err = i.GetByKey("team/work-1-0")
	g.Expect([]any{found, exists, err}).To(Equal([]any{aPod(), true, nil}))
	_, exists, err = i.GetByKey("team/other")
	g.Expect([]any{exists, err}).To(Equal([]any{false, nil}))
	g.Expect(i.Indexer.List()).To(Equal([]any{kept}), "what is kept stays as it is")
}

func TestTextsInCommonAreInMemoryOnce(t *testing.T) {
	g := NewWithT(t)
	one, other, empty := string([]byte("Running")), string([]byte("Running")), ""
	Share(&one, &other, &empty)
	g.Expect([]string{one, other, empty}).To(Equal([]string{"Running", "Running", ""}))
	g.Expect(unsafe.StringData(one)).To(BeIdenticalTo(unsafe.StringData(other)))
}
