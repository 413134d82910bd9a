package pipelinejob

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
)

// Bounds on the events of a run that are read. A Job that keeps failing, or has many pods, has
// thousands.
const (
	eventsPerPage  = 100
	eventPages     = 5
	podsWithEvents = 5
	// claimsWithEvents bounds the PersistentVolumeClaims.
	claimsWithEvents = 3
)

// eventsOfRun lists the events of a run's Job, of its newest pods, including deleted ones, and
// of the PersistentVolumeClaims that the pods wait for.
func (r *Reconciler) eventsOfRun(ctx context.Context, run *batchv1.Job, pods []corev1.Pod) ([]diagnosis.Event, error) {
	found, err := r.eventsOf(ctx, run.Namespace, "Job", run.Name)
	if err != nil {
		return nil, err
	}
	for _, pod := range podNames(pods, found) {
		of, err := r.eventsOf(ctx, run.Namespace, "Pod", pod)
		if err != nil {
			return nil, err
		}
		found = append(found, of...)
	}
	for _, claim := range claimNames(pods) {
		of, err := r.eventsOf(ctx, run.Namespace, "PersistentVolumeClaim", claim)
		if err != nil {
			return nil, err
		}
		found = append(found, of...)
	}
	return found, nil
}

// claimNames returns some of the PersistentVolumeClaims that a run's pods wait for.
func claimNames(pods []corev1.Pod) []string {
	var names []string
	for i := range pods {
		names = append(names, diagnosis.ClaimsOf(pods[i])...)
	}
	return names[:min(len(names), claimsWithEvents)]
}

func (r *Reconciler) eventsOf(ctx context.Context, namespace, kind, name string) ([]diagnosis.Event, error) {
	var found []diagnosis.Event
	next := ""
	for range eventPages {
		var page corev1.EventList
		err := r.Live.List(ctx, &page, client.InNamespace(namespace), client.Limit(eventsPerPage), client.Continue(next),
			client.MatchingFields{"involvedObject.kind": kind, "involvedObject.name": name})
		if err != nil {
			return nil, fmt.Errorf("list the events of %s %s: %w", kind, name, err)
		}
		for i := range page.Items {
			found = append(found, eventOf(&page.Items[i]))
		}
		if next = page.Continue; next == "" {
			break
		}
	}
	return found, nil
}

// podNames returns the newest pods of a run: first the existing ones, then deleted ones that
// the Job controller's events name.
func podNames(pods []corev1.Pod, ofJob []diagnosis.Event) []string {
	pods, ofJob = slices.Clone(pods), slices.Clone(ofJob)
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	slices.SortStableFunc(ofJob, func(a, b diagnosis.Event) int { return b.Last.Compare(a.Last) })
	var names []string
	add := func(name string) {
		if len(names) < podsWithEvents && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for i := range pods {
		add(pods[i].Name)
	}
	for _, event := range ofJob {
		what, name, found := strings.Cut(event.Message, " pod: ")
		if found && (what == "Created" || what == "Deleted") {
			add(name)
		}
	}
	return names
}

// eventOf converts an event of either API: core/v1 events have no series.
func eventOf(event *corev1.Event) diagnosis.Event {
	read := diagnosis.Event{
		Object: event.InvolvedObject.Kind + "/" + event.InvolvedObject.Name,
		Reason: event.Reason, Message: event.Message,
		First: event.FirstTimestamp.Time, Last: event.LastTimestamp.Time, Count: max(event.Count, 1),
	}
	if read.First.IsZero() {
		read.First, read.Last = event.EventTime.Time, event.EventTime.Time
	}
	if series := event.Series; series != nil {
		read.Last, read.Count = series.LastObservedTime.Time, series.Count
	}
	return read
}
