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
	codePipeline string // ID of the job in the step's environment
	token        string // the continuation token in the step's environment
	// ended is how it ended. It is empty if it was killed before.
	ended ending
}

// line is an entry in the story of a job.
type line struct {
	at   time.Time
	text string
}

// records has what happened to the jobs, independently of CodePipeline and Kubernetes.
type records struct {
	mu         sync.Mutex
	executions map[int][]*execution
	stories    map[int][]line
	// deeds are what users did to each job.
	deeds map[int]map[deed]bool
	// world is what happened to all jobs.
	world []line
	// ids maps the CodePipeline jobs that were seen to the number of the job.
	ids map[string]int
}

func newRecords() *records {
	return &records{executions: map[int][]*execution{}, stories: map[int][]line{}, deeds: map[int]map[deed]bool{}, ids: map[string]int{}}
}

// begin records that a step was started.
func (l *records) begin(number int, e *execution) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.executions[number] = append(l.executions[number], e)
	l.ids[e.codePipeline] = number
	l.tell(number, "step of run %d started in pod %s of Job %s, for job %s", e.run, e.pod, e.job, e.codePipeline)
}

// end records that a step ended on its own.
func (l *records) end(number int, e *execution, how ending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.ended = how
	l.tell(number, "step of run %d in pod %s %s", e.run, e.pod, how)
}

// killed records that the pod of a step was removed.
func (l *records) killed(number int, e *execution) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell(number, "step of run %d in pod %s was killed", e.run, e.pod)
}

// did records what a user did.
func (l *records) did(number int, what deed, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deeds[number] == nil {
		l.deeds[number] = map[deed]bool{}
	}
	l.deeds[number][what] = true // an error may be a lost response
	l.tell(number, "a user %s (%v)", what, err)
}

// seen records a change of a PipelineJob in the API server.
func (l *records) seen(number int, codePipeline, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids[codePipeline] = number
	l.tell(number, "%s", text)
}

// happened records what happened to all jobs.
func (l *records) happened(format string, arguments ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.world = append(l.world, line{time.Now(), fmt.Sprintf(format, arguments...)})
}

// tell adds an entry to a story. The caller holds the lock.
func (l *records) tell(number int, format string, arguments ...any) {
	l.stories[number] = append(l.stories[number], line{time.Now(), fmt.Sprintf(format, arguments...)})
}

// of returns the executions of a job and what users did to it.
func (l *records) of(number int) ([]execution, map[deed]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []execution
	for _, e := range l.executions[number] {
		all = append(all, *e)
	}
	return all, l.deeds[number]
}

// story returns everything that is known about a job, including what happened to all jobs in the
// meantime.
func (l *records) story(number int, more []line) string {
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

// number returns the number of the job to which a CodePipeline job belongs.
func (l *records) number(codePipeline string) (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	number, known := l.ids[codePipeline]
	return number, known
}
