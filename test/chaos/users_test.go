//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// atATime is the maximum number of open executions.
const atATime = 60

// feed starts the executions of all jobs, with their users, and waits for the users. Jobs are not
// started long before their share of the disruptions is over.
func (w *world) feed(ctx context.Context) error {
	var users sync.WaitGroup
	defer users.Wait()
	disruptions := len(disruptionsOf(w.seed, w.jobs))
	for number := range w.jobs {
		err := until(ctx, 100*time.Millisecond, "wait for room", func() bool {
			started, ended := w.cloud.progress()
			share := w.jobs * (int(w.disrupted.Load()) + 1) / (disruptions + 1)
			return started-ended < atATime && started < share+atATime
		})
		if err != nil {
			return err
		}
		p := w.plan(number)
		if err := w.cloud.start(ctx, number, p.kind); err != nil {
			return err
		}
		if p.deed != nothing {
			users.Go(func() {
				if pause(ctx, p.after) {
					w.use(ctx, number, p.deed)
				}
			})
		}
	}
	return nil
}

// use does what a user does to a job.
func (w *world) use(ctx context.Context, number int, what deed) {
	var err error
	switch what {
	case deletes:
		err = w.eachPipelineJob(number, func(job *v1alpha1.PipelineJob) error {
			return client.IgnoreNotFound(w.kube.Delete(ctx, job))
		})
	case stops:
		err = w.cloud.stop(ctx, number, false)
	default:
		err = w.cloud.stop(ctx, number, true)
		if err == nil && what == abandonsAndSays {
			err = w.eachPipelineJob(number, func(job *v1alpha1.PipelineJob) error {
				before := job.DeepCopy()
				metav1.SetMetaDataAnnotation(&job.ObjectMeta, v1alpha1.AnnotationAbandoned, "true")
				return client.IgnoreNotFound(w.kube.Patch(ctx, job, client.MergeFrom(before)))
			})
		}
	}
	w.records.did(number, what, err)
}

// eachPipelineJob calls do for the existing PipelineJobs of a job.
func (w *world) eachPipelineJob(number int, do func(*v1alpha1.PipelineJob) error) error {
	there := w.recorder.there(number)
	if len(there) == 0 {
		return fmt.Errorf("there is no PipelineJob of it")
	}
	for _, job := range there {
		if err := do(job.DeepCopy()); err != nil {
			return err
		}
	}
	return nil
}

// suspend occasionally suspends actions for a while, until ctx ends. At the end, none is suspended.
func (w *world) suspend(ctx context.Context) error {
	d := newDice(w.seed, diceOfUsers)
	for pause(ctx, d.between(5*time.Second, 20*time.Second)) {
		k := kinds[d.below(len(kinds))]
		if err := w.setSuspended(ctx, k, true); err != nil {
			w.records.happened("suspend %s: %v", k, err)
		}
		pause(ctx, d.between(time.Second, 5*time.Second))
		if err := w.resume(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// resume resumes an action, even while the API server restarts.
func (w *world) resume(ctx context.Context, k kind) (err error) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	waited := until(bounded, 500*time.Millisecond, "resume "+string(k), func() bool {
		err = w.setSuspended(bounded, k, false)
		return err == nil
	})
	if waited != nil {
		return fmt.Errorf("%w: %w", waited, err)
	}
	return nil
}

func (w *world) setSuspended(ctx context.Context, k kind, suspend bool) error {
	action := w.action(k)
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"suspend":%t}}`, suspend))
	if err := w.kube.Patch(ctx, action, patch); err != nil {
		return err
	}
	w.records.happened("%s is suspended: %t", k, suspend)
	return nil
}
