//go:build chaos

package chaos

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
)

// figures are the results of a test.
type figures struct {
	succeeded, failed, cancelled, abandoned, never, open int
	steps, killed, repeated                              int
}

func (s *figures) add(f facts) {
	switch f.verdict.action {
	case types.ActionExecutionStatusSucceeded:
		s.succeeded++
	case types.ActionExecutionStatusFailed:
		if strings.HasPrefix(f.verdict.message, cancelledMessage) {
			s.cancelled++
		} else {
			s.failed++
		}
	case types.ActionExecutionStatusAbandoned:
		s.abandoned++
	case types.ActionExecutionStatusInProgress:
		s.open++
	default:
		s.never++
	}
	s.steps += len(f.executions)
	s.repeated += f.repeated()
	for _, e := range f.executions {
		if e.ended == "" {
			s.killed++
		}
	}
}

// report returns a summary of a test.
func (w *world) report(sum figures, took time.Duration) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d jobs in %s: %d succeeded, %d failed, %d cancelled, %d abandoned, %d stopped before they began, %d open\n",
		w.jobs, took.Round(time.Second), sum.succeeded, sum.failed, sum.cancelled, sum.abandoned, sum.never, sum.open)
	fmt.Fprintf(&text, "steps: %d started, %d of them stopped, %d started again by Kubernetes in another pod of their Job\n", sum.steps, sum.killed, sum.repeated)
	done := map[disruption]int{}
	for _, d := range disruptionsOf(w.seed, w.jobs)[:w.disrupted.Load()] {
		done[d]++
	}
	_, terms := w.managers.leader()
	fmt.Fprintf(&text, "disruptions: %v; %d terms of leaders, %d and %d starts of the operators, %d starts of etcd, %d of the API server, %d of the controllers\n",
		done, terms, w.managers.both[0].count(), w.managers.both[1].count(), w.control.etcd.count(), w.control.api.count(), w.control.controllers.count())
	fmt.Fprintf(&text, "API requests: %d, failed before their effect %d, after it %d; watches cut %d\n",
		w.proxy.requests.Load(), w.proxy.before.Load(), w.proxy.after.Load(), w.proxy.cuts.Load())
	calls, faults := w.cloud.counts()
	fmt.Fprintf(&text, "AWS calls: %v; failed: %v", calls, faults)
	return text.String()
}
