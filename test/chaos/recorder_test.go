//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// recorder keeps the last state of each PipelineJob and records changes.
type recorder struct {
	records *records

	mu   sync.Mutex
	last map[int]map[types.UID]*v1alpha1.PipelineJob
	gone map[types.UID]bool
	text map[types.UID]string
}

func startRecorder(ctx context.Context, objects cache.Cache, l *records) (*recorder, error) {
	r := &recorder{records: l, last: map[int]map[types.UID]*v1alpha1.PipelineJob{}, gone: map[types.UID]bool{}, text: map[types.UID]string{}}
	informer, err := objects.GetInformer(ctx, &v1alpha1.PipelineJob{})
	if err != nil {
		return nil, err
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { r.see(object, false) },
		UpdateFunc: func(_, object any) { r.see(object, false) },
		DeleteFunc: func(object any) {
			if unknown, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
				object = unknown.Obj
			}
			r.see(object, true)
		},
	})
	return r, err
}

func (r *recorder) see(object any, gone bool) {
	job, ok := object.(*v1alpha1.PipelineJob)
	if !ok {
		return
	}
	number := numberOf(job)
	text := summary(job)
	if gone {
		text = "PipelineJob " + string(job.UID) + " is gone"
	}
	r.mu.Lock()
	if r.last[number] == nil {
		r.last[number] = map[types.UID]*v1alpha1.PipelineJob{}
	}
	r.last[number][job.UID], r.gone[job.UID] = job, gone
	news := r.text[job.UID] != text
	r.text[job.UID] = text
	r.mu.Unlock()
	if news {
		r.records.seen(number, job.Spec.CodePipelineJob.ID, text)
	}
}

// numberOf returns the number of a job from its configuration.
func numberOf(job *v1alpha1.PipelineJob) int {
	number, err := strconv.Atoi(job.Spec.Configuration["Target"])
	if err != nil {
		return -1
	}
	return number
}

// summary returns the relevant fields of a PipelineJob.
func summary(job *v1alpha1.PipelineJob) string {
	s, p := &job.Status, &job.Status.Protocol
	var text strings.Builder
	fmt.Fprintf(&text, "PipelineJob %s: %s job=%s nonce=%s", job.UID, s.Phase, job.Spec.CodePipelineJob.ID, job.Spec.CodePipelineJob.Nonce)
	if token := job.Spec.CodePipelineJob.ContinuationToken; token != "" {
		fmt.Fprintf(&text, " token=%q", token)
	}
	if call := p.Call; call != nil {
		fmt.Fprintf(&text, " call=%s of %s try %d", call.Operation, call.JobID, call.Tries)
	}
	if s.Run != nil {
		fmt.Fprintf(&text, " run=%d uid=%s ended=%t", s.Run.Number, s.Run.JobUID, s.Run.FinishedAt != nil)
	}
	fmt.Fprintf(&text, " acknowledged=%s reported=%s settled=%t", p.AcknowledgedJobID, p.ReportedJobID, job.Settled())
	if s.FailureDetails != nil {
		fmt.Fprintf(&text, " failure=%q", s.FailureDetails.Message)
	}
	for _, condition := range s.Conditions {
		fmt.Fprintf(&text, " %s=%s/%s", condition.Type, condition.Status, condition.Reason)
	}
	if !job.DeletionTimestamp.IsZero() {
		text.WriteString(" is being deleted")
	}
	return text.String()
}

// of returns the last seen states of a job's PipelineJobs.
func (r *recorder) of(number int) (all []*v1alpha1.PipelineJob) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, job := range r.last[number] {
		all = append(all, job)
	}
	return all
}

// there returns the PipelineJobs of a job that are not gone.
func (r *recorder) there(number int) (all []*v1alpha1.PipelineJob) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid, job := range r.last[number] {
		if !r.gone[uid] {
			all = append(all, job)
		}
	}
	return all
}
