//go:build bench

package bench

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// creators is the number of Jobs that the client creates concurrently. The operator records the
// PipelineJobs of an action with the same concurrency.
const creators = 16

// bare measures Jobs that a client creates, as the cost of Kubernetes itself.
func bare(t *testing.T, jobs int, job *batchv1.Job) figures {
	c := newCluster(t)
	f, _ := c.measure(jobs, userClient, c.creating(jobs, job), func() int { return c.completeJobs(namespace) })
	return f
}

// creating returns a function that creates Jobs in the measured namespace.
func (c *cluster) creating(jobs int, job *batchv1.Job) func() {
	jobClient := c.clientset(userClient).BatchV1().Jobs(namespace)
	return func() {
		all, ctx := errgroup.WithContext(c.t.Context())
		all.SetLimit(creators)
		for i := range jobs {
			made := job.DeepCopy()
			made.Name = fmt.Sprintf("job-%d", i)
			all.Go(func() error {
				_, err := jobClient.Create(ctx, made, metav1.CreateOptions{})
				return err
			})
		}
		c.Expect(all.Wait()).To(Succeed())
	}
}

// oneContainer returns a Job with one container.
func oneContainer() *batchv1.Job {
	job := &batchv1.Job{}
	job.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{
		Name: "work", Image: "work:1",
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}},
	}}}
	return job
}

// copyOf returns a copy of a Job of the operator, without the fields that the API server sets and
// those by which the operator recognizes it.
func copyOf(made batchv1.Job) *batchv1.Job {
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Labels: made.Labels, Annotations: made.Annotations}, Spec: made.Spec}
	job.Spec.Selector, job.Spec.ManualSelector = nil, nil
	for key := range job.Spec.Template.Labels {
		if strings.HasPrefix(key, "batch.kubernetes.io/") || key == "controller-uid" || key == "job-name" {
			delete(job.Spec.Template.Labels, key)
		}
	}
	return job
}
