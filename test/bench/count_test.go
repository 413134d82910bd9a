//go:build bench

package bench

import (
	"context"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// page is the number of objects per list request.
const page = 500

// completeJobs counts the complete Jobs of a namespace. It lists them, because a watch may close
// early and distort the result.
func (c *cluster) completeJobs(namespace string) int {
	return c.count(batchv1.SchemeGroupVersion.WithKind("JobList"), namespace, "status.successful", "1")
}

// reportedJobs counts the PipelineJobs that have succeeded and were reported.
func (c *cluster) reportedJobs() int {
	return c.count(v1alpha1.GroupVersion.WithKind("PipelineJobList"), namespace, "status.phase", string(v1alpha1.PhaseSucceeded))
}

// count counts the objects with a value in a field.
func (c *cluster) count(kind schema.GroupVersionKind, namespace, field, value string) int {
	found, next := 0, ""
	for {
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(kind)
		c.Expect(c.kube.List(c.t.Context(), &list, client.InNamespace(namespace), client.MatchingFields{field: value},
			client.Limit(page), client.Continue(next))).To(Succeed())
		found += len(list.Items)
		if next = list.Continue; next == "" {
			return found
		}
	}
}

// Bounds of the delay between two counts.
const (
	oftenest = 50 * time.Millisecond
	rarest   = time.Second
)

// awaitAll counts until all jobs have ended, and returns that time. It counts more often near the
// end, because counting takes resources from what is measured.
func (c *cluster) awaitAll(jobs int, began time.Time, count func() int) time.Time {
	ctx, cancel := context.WithTimeout(c.t.Context(), testTimeout)
	defer cancel()
	for {
		c.check()
		done, now := count(), time.Now()
		if done >= jobs {
			return now
		}
		wait := rarest
		if done > 0 {
			wait = now.Sub(began) * time.Duration(jobs-done) / time.Duration(done) / 2
		}
		select {
		case <-ctx.Done():
			c.t.Fatalf("%d of %d jobs have ended within %s", done, jobs, testTimeout)
		case <-time.After(min(max(wait, oftenest), rarest)):
		}
	}
}
