package pipelinejob

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// lag is the stale content of an operator's cache, by kind.
type lag struct {
	jobs map[client.ObjectKey]*v1alpha1.PipelineJob
	runs map[client.ObjectKey]*batchv1.Job
	pods []corev1.Pod
	// these kinds lag
	lagsJobs, lagsRuns, lagsPods bool
}

// freezes is a play with operators whose caches lag and that freeze in writes.
type freezes struct {
	*play
	lag   *lag
	hook  func()
	after bool
}

func (f *freezes) snapshot(l *lag, jobs, runs, pods bool) {
	if jobs {
		l.lagsJobs, l.jobs = true, map[client.ObjectKey]*v1alpha1.PipelineJob{}
		for _, job := range f.pipelineJobs() {
			l.jobs[client.ObjectKeyFromObject(&job)] = job.DeepCopy()
		}
	}
	if runs {
		var list batchv1.JobList
		f.Expect(f.kube.List(f.ctx, &list)).To(Succeed())
		l.lagsRuns, l.runs = true, map[client.ObjectKey]*batchv1.Job{}
		for i := range list.Items {
			l.runs[client.ObjectKeyFromObject(&list.Items[i])] = &list.Items[i]
		}
	}
	if pods {
		var list corev1.PodList
		f.Expect(f.kube.List(f.ctx, &list)).To(Succeed())
		l.lagsPods, l.pods = true, list.Items
	}
}

// lead makes another operator the leader.
func (f *freezes) lead() {
	f.lag = &lag{}
	o, l := f.newOperator(f.cloud()...), f.lag
	cached := o.Client.(client.WithWatch)
	o.Client = interceptor.NewClient(cached, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			none := apierrors.NewNotFound(schema.GroupResource{}, key.Name)
			switch object := object.(type) {
			case *v1alpha1.PipelineJob:
				if l.lagsJobs {
					shown, ok := l.jobs[key]
					if !ok {
						return none
					}
					shown.DeepCopyInto(object)
					trim(object)
					return nil
				}
			case *batchv1.Job:
				if l.lagsRuns {
					shown, ok := l.runs[key]
					if !ok {
						return none
					}
					shown.DeepCopyInto(object)
					trim(object)
					return nil
				}
			}
			return c.Get(ctx, key, object, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			pods, ok := list.(*corev1.PodList)
			if !ok || !l.lagsPods {
				return c.List(ctx, list, options...)
			}
			given := (&client.ListOptions{}).ApplyOptions(options)
			uid, _ := given.FieldSelector.RequiresExactMatch(IndexJob)
			for _, pod := range l.pods {
				if by := ByJob(&pod); len(by) > 0 && by[0] == uid {
					pod := *pod.DeepCopy()
					trim(&pod)
					pods.Items = append(pods.Items, pod)
				}
			}
			return nil
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			hook := f.hook
			f.hook = nil
			if hook != nil && !f.after {
				hook()
			}
			err := c.SubResource(sub).Patch(ctx, object, patch, options...)
			if hook != nil && f.after {
				hook()
			}
			return err
		},
	})
	f.operator = o
}

// freeze freezes the operator in its next write. Another one becomes the leader and does
// something, and then the first, thawed, continues for a while.
func (f *freezes) freeze(t *rapid.T) {
	names := f.names()
	if len(names) == 0 {
		return
	}
	name := rapid.SampledFrom(names).Draw(t, "job")
	first, firstLag := f.operator, f.lag
	f.after = rapid.Bool().Draw(t, "after")
	frozen := false
	f.hook = func() {
		frozen = true
		f.snapshot(firstLag, !firstLag.lagsJobs, !firstLag.lagsRuns, !firstLag.lagsPods)
		f.clock.Step(time.Duration(rapid.IntRange(5, 90).Draw(t, "frozen for")) * time.Second)
		f.lead()
		for range rapid.IntRange(0, 12).Draw(t, "steps of another") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				f.endRun(t)
			case 1:
				f.deleteJob(t)
			case 2:
				f.poll(t)
			case 3:
				f.wait(t)
			case 4:
				f.deletePipelineJob(t)
			default:
				f.reconcile(t)
			}
		}
	}
	_, _ = advance(f.play, first, name)
	f.hook = nil
	if !frozen {
		return
	}
	second, secondLag := f.operator, f.lag
	for range rapid.IntRange(0, 3).Draw(t, "steps of the thawed") {
		_, _ = advance(f.play, first, name)
	}
	f.operator, f.lag = second, secondLag
}

func (f *freezes) lags(t *rapid.T) {
	f.snapshot(f.lag, rapid.Bool().Draw(t, "jobs"), rapid.Bool().Draw(t, "runs"), rapid.Bool().Draw(t, "pods"))
}

func (f *freezes) sync(*rapid.T) { *f.lag = lag{} }

// tick lets a little time pass.
func (f *freezes) tick(t *rapid.T) {
	f.clock.Step(time.Duration(rapid.IntRange(100, 3000).Draw(t, "milliseconds")) * time.Millisecond)
}

// TestProtocolHoldsWithLaggingCaches is TestProtocolHolds with operators whose caches lag and
// that freeze in writes.
func TestProtocolHoldsWithLaggingCaches(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := &freezes{play: newPlay(t)}
		defer func() { f.Expect(f.aws.Close()).To(Succeed()) }()
		f.lead()
		f.start(rt)
		f.poll(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"start": f.start, "poll": f.poll, "reconcile": f.reconcile, "reconcile again": f.reconcile, "and again": f.reconcile,
			"and once more": f.reconcile, "fault": f.fault, "failWrite": f.failWrite, "restart": func(*rapid.T) { f.lead() },
			"endRun": f.endRun, "deleteJob": f.deleteJob, "deletePipelineJob": f.deletePipelineJob,
			"abandon": f.abandon, "wait": f.wait, "otherWorker": f.otherWorker, "": f.invariants,
			"freeze": f.freeze, "freeze again": f.freeze, "lags": f.lags, "sync": f.sync, "tick": f.tick,
		})
		f.sync(rt)
		f.settle()
		if left := f.unended(); left != "" {
			rt.Fatal(left)
		}
		f.expectTruth(rt)
	})
}
