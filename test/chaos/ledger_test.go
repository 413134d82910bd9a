//go:build chaos

package chaos

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// execution is a step that was started in a pod.
type execution struct {
	run          int
	job, pod     types.UID
	pipelineJob  string
	codePipeline string // ID of the job, as the step sees it
	token        string // the continuation token that the step was given
	// ended is how it ended; empty if it was killed before.
	ended ending
}

// line is something that happened to a job.
type line struct {
	at   time.Time
	text string
}

// It is the record of what happened to the jobs, independent of CodePipeline and Kubernetes.
type ledger struct {
	mu         sync.Mutex
	executions map[int][]*execution
	stories    map[int][]line
	// deeds are those that users did.
	deeds map[int]map[deed]bool
	// world is what happened to all.
	world []line
	// ids are the CodePipeline jobs that were seen, with the number of the job.
	ids map[string]int
}

func newLedger() *ledger {
	return &ledger{executions: map[int][]*execution{}, stories: map[int][]line{}, deeds: map[int]map[deed]bool{}, ids: map[string]int{}}
}

// begin records that a step was started.
func (l *ledger) begin(number int, e *execution) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.executions[number] = append(l.executions[number], e)
	l.ids[e.codePipeline] = number
	l.tell(number, "step of run %d started in pod %s of Job %s, for job %s", e.run, e.pod, e.job, e.codePipeline)
}

// end records that a step ended by itself.
func (l *ledger) end(number int, e *execution, how ending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.ended = how
	l.tell(number, "step of run %d in pod %s %s", e.run, e.pod, how)
}

// killed records that the pod of a step was taken away.
func (l *ledger) killed(number int, e *execution) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell(number, "step of run %d in pod %s was killed", e.run, e.pod)
}

// did records what a user did.
func (l *ledger) did(number int, what deed, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deeds[number] == nil {
		l.deeds[number] = map[deed]bool{}
	}
	l.deeds[number][what] = true // an error may be a lost answer
	l.tell(number, "a user %s (%v)", what, err)
}

// seen records what the API server says of a PipelineJob.
func (l *ledger) seen(number int, codePipeline, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids[codePipeline] = number
	l.tell(number, "%s", text)
}

// happened records what happened to all.
func (l *ledger) happened(format string, arguments ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.world = append(l.world, line{time.Now(), fmt.Sprintf(format, arguments...)})
}

// tell adds to a story. The caller holds the lock.
func (l *ledger) tell(number int, format string, arguments ...any) {
	l.stories[number] = append(l.stories[number], line{time.Now(), fmt.Sprintf(format, arguments...)})
}

// of are the executions of a job, and what users did to it.
func (l *ledger) of(number int) ([]execution, map[deed]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []execution
	for _, e := range l.executions[number] {
		all = append(all, *e)
	}
	return all, l.deeds[number]
}

// story is all that is known of a job, with what happened to all meanwhile.
func (l *ledger) story(number int, more []line) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := slices.Concat(l.stories[number], more)
	if len(lines) == 0 {
		return "  nothing is known of it"
	}
	byTime := func(a, b line) int { return a.at.Compare(b.at) }
	first, last := slices.MinFunc(lines, byTime).at, slices.MaxFunc(lines, byTime).at
	for _, of := range l.world {
		if of.at.After(first.Add(-5*time.Second)) && of.at.Before(last.Add(5*time.Second)) {
			lines = append(lines, line{of.at, "=== " + of.text})
		}
	}
	slices.SortStableFunc(lines, byTime)
	var text strings.Builder
	for _, at := range lines {
		fmt.Fprintf(&text, "  %s %s\n", at.at.Format("15:04:05.000"), at.text)
	}
	return text.String()
}

// number is that of the job for which CodePipeline has made a job.
func (l *ledger) number(codePipeline string) (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	number, known := l.ids[codePipeline]
	return number, known
}
