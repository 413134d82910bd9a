//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// leftovers returns the objects that ended jobs have left.
func (w *world) leftovers(ctx context.Context) ([]string, error) {
	var (
		jobs    v1alpha1.PipelineJobList
		runs    batchv1.JobList
		pods    corev1.PodList
		secrets corev1.SecretList
	)
	for _, list := range []client.ObjectList{&jobs, &runs, &pods, &secrets} { // owners first
		if err := w.kube.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, err
		}
	}
	var found []string
	there := map[types.UID]bool{}
	for i := range jobs.Items {
		job := &jobs.Items[i]
		there[job.UID] = true
		if !job.Settled() || !job.DeletionTimestamp.IsZero() {
			found = append(found, fmt.Sprintf("job %d: %s", numberOf(job), summary(job)))
		}
	}
	for _, run := range runs.Items {
		there[run.UID] = true
		ended := slices.ContainsFunc(run.Status.Conditions, func(c batchv1.JobCondition) bool {
			return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
		})
		if !ended || !owned(&run, there) {
			found = append(found, fmt.Sprintf("Job %s: ended=%t, its owner exists=%t", run.Name, ended, owned(&run, there)))
		}
	}
	for _, pod := range pods.Items {
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if !ended || !owned(&pod, there) {
			found = append(found, fmt.Sprintf("pod %s: %s, its owner exists=%t", pod.Name, pod.Status.Phase, owned(&pod, there)))
		}
	}
	for _, secret := range secrets.Items {
		found = append(found, "Secret "+secret.Name)
	}
	return found, nil
}

func owned(object metav1.Object, there map[types.UID]bool) bool {
	owner := metav1.GetControllerOf(object)
	return owner != nil && there[owner.UID]
}
