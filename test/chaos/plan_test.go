//go:build chaos

package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ending is how a run of a step ends if nobody stops it.
type ending string

const (
	succeeds  ending = "succeeds"
	fails     ending = "fails"
	continues ending = "continues"
)

// exitCode is the exit code of a failing step.
const exitCode = 3

// run is the plan for one run of a step.
type run struct {
	takes time.Duration
	ends  ending
	// tells is true if the step reports progress, about halfway.
	tells bool
	// waits is true if the step waits until all slots are filled.
	waits bool
}

// deed is what a user does to a job.
type deed string

const (
	nothing deed = "nothing"
	// deletes the PipelineJob.
	deletes deed = "deletes the PipelineJob"
	// abandons the execution.
	abandons deed = "abandons the execution"
	// abandonsAndSays does the same, and sets the annotation of the PipelineJob as an event from
	// CodePipeline would.
	abandonsAndSays deed = "abandons the execution and annotates the PipelineJob"
	// stops the execution, which waits for the action.
	stops deed = "stops the execution"
)

// kind is a CustomAction with its own pipeline.
type kind string

const (
	// plain has neither artifacts nor secrets.
	plain kind = "plain"
	// secret has an input artifact and a secret property.
	secret kind = "secret"
	// progressing reports progress.
	progressing kind = "progress"
)

var kinds = []kind{plain, secret, progressing}

// plan is what will happen to a job. It depends on the seed and the job's number.
type plan struct {
	kind kind
	runs []run
	deed deed
	// after is the time from the start of the execution to the deed.
	after time.Duration
}

// longestRuns is the maximum number of runs of a plan.
const longestRuns = 3

func planOf(seed uint64, number int) plan {
	d := newDice(seed, diceOfJobs+uint64(number))
	p := plan{kind: plain, deed: nothing}
	switch at := d.below(100); {
	case at < 30:
		p.kind = secret
	case at < 40:
		p.kind = progressing
	}
	runs := 1
	if d.happens(0.2) {
		runs += 1 + d.below(longestRuns-1)
	}
	for i := range runs {
		r := run{takes: d.between(100*time.Millisecond, 4*time.Second), ends: continues}
		if p.kind == progressing {
			r.takes, r.tells = d.between(12*time.Second, 30*time.Second), true
		}
		if i == runs-1 {
			r.ends = succeeds
			if d.happens(0.25) {
				r.ends = fails
			}
		}
		p.runs = append(p.runs, r)
	}
	switch at := d.below(100); {
	case at < 6:
		p.deed = deletes
	case at < 9:
		p.deed = abandons
	case at < 12:
		p.deed = abandonsAndSays
	case at < 15:
		p.deed = stops
	}
	p.after = d.between(0, 12*time.Second)
	return p
}

// run returns the plan for a run, counted from 1.
func (p plan) run(number int) run {
	if number < 1 || number > len(p.runs) {
		return run{ends: fails} // the model reports it
	}
	return p.runs[number-1]
}

// end returns how the last run ends.
func (p plan) end() ending { return p.runs[len(p.runs)-1].ends }

func (p plan) String() string {
	var runs []string
	for _, r := range p.runs {
		runs = append(runs, fmt.Sprintf("%s after %s", r.ends, r.takes.Round(time.Millisecond)))
	}
	text := fmt.Sprintf("%s: %s", p.kind, strings.Join(runs, ", "))
	if p.deed != nothing {
		text += fmt.Sprintf("; a user %s after %s", p.deed, p.after.Round(time.Millisecond))
	}
	return text
}

// tokenOf returns the continuation token with which a run ends.
func tokenOf(number, run int) string { return fmt.Sprintf("job %d run %d", number, run) }

// outputsOf returns the output variables of a successful run.
func outputsOf(number, run int) map[string]string {
	return map[string]string{"Number": strconv.Itoa(number), "Run": strconv.Itoa(run)}
}
