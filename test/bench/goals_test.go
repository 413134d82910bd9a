//go:build bench

package bench

import (
	"fmt"
	"strings"
	"time"
)

// The goals. The goal for the rate was set when the operator reached 0.16 of the rate of bare Jobs
// with the same pods. A share is comparable between machines.
const (
	goalShare = 3 * 0.16
	goalP50   = 100 * time.Millisecond
	goalP99   = 500 * time.Millisecond
	goalAPI   = 9.0
	goalAWS   = 2.2
)

// writeGoals writes which goals are met.
func (r *report) writeGoals(b *strings.Builder) {
	if len(r.runs[kindOperator])+len(r.idle.created) == 0 {
		return
	}
	fmt.Fprint(b, "\n| goal | measured | met |\n| --- | --- | --- |\n")
	if len(r.runs[kindOperator]) > 0 {
		r.writeGoalsUnderLoad(b)
	}
	if len(r.idle.created) == 0 {
		return
	}
	for _, goal := range []struct {
		percent int
		within  time.Duration
	}{{50, goalP50}, {99, goalP99}} {
		took := percentile(r.idle.created, goal.percent)
		writeGoal(b, fmt.Sprintf("idle, from available to Job, p%d: at most %s", goal.percent, goal.within), fmt.Sprintf("%.0f ms", milliseconds(took)), took <= goal.within)
	}
}

func (r *report) writeGoalsUnderLoad(b *strings.Builder) {
	rate := r.rate(kindOperator)
	if kueue := r.rate(kindKueue); kueue > 0 {
		writeGoal(b, fmt.Sprintf("jobs/s: at least Kueue's %.1f", kueue), fmt.Sprintf("%.1f", rate), rate >= kueue)
	}
	if bare := r.rate(kindBareSame); bare > 0 {
		writeGoal(b, fmt.Sprintf("of bare Jobs with the same pods: at least %.2f", goalShare), fmt.Sprintf("%.2f", rate/bare), rate/bare >= goalShare)
	}
	requests := r.median(kindOperator, perJob(func(f figures) float64 { return float64(total(f.requests)) }))
	writeGoal(b, fmt.Sprintf("API requests a job: at most %.0f", goalAPI), fmt.Sprintf("%.2f", requests), requests <= goalAPI)
	calls := r.median(kindOperator, perJob(func(f figures) float64 { return float64(total(f.calls)) }))
	writeGoal(b, fmt.Sprintf("AWS calls a job: at most %.1f", goalAWS), fmt.Sprintf("%.2f", calls), calls <= goalAWS)
}

func writeGoal(b *strings.Builder, goal, measured string, met bool) {
	answer := "no"
	if met {
		answer = "yes"
	}
	fmt.Fprintf(b, "| %s | %s | %s |\n", goal, measured, answer)
}
