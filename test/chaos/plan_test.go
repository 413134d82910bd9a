//go:build chaos

package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ending is how a run of a step ends, if nobody stops it.
type ending string

const (
	succeeds  ending = "succeeds"
	fails     ending = "fails"
	continues ending = "continues"
)

// exitCode is that of a step that fails.
const exitCode = 3

// run is what a step does in one run.
type run struct {
	takes time.Duration
	ends  ending
	// tells is whether the step tells of its progress, about half way.
	tells bool
	// waits is whether the step waits until all slots are filled.
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
	// abandonsAndSays does the same, and puts the annotation on the PipelineJob that
	// an event of CodePipeline's brings.
	abandonsAndSays deed = "abandons the execution and annotates the PipelineJob"
	// stops the execution, which waits for the action.
	stops deed = "stops the execution"
)

// kind is a CustomAction, with a pipeline of its own.
type kind string

const (
	// plain has neither artifacts nor secrets.
	plain kind = "plain"
	// secret has an input artifact and a secret property.
	secret kind = "secret"
	// progressing tells of its progress.
	progressing kind = "progress"
)

var kinds = []kind{plain, secret, progressing}

// plan is what is to become of a job. It follows from the seed and the job's number.
type plan struct {
	kind kind
	runs []run
	deed deed
	// after is when the user does it, after the start of the execution.
	after time.Duration
}

// longestRuns is the most runs of a plan.
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

// run is what the step does in a run, counted from 1.
func (p plan) run(number int) run {
	if number < 1 || number > len(p.runs) {
		return run{ends: fails} // the model finds it
	}
	return p.runs[number-1]
}

// end is how the last run ends.
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

// tokenOf is the continuation token with which a run ends.
func tokenOf(number, run int) string { return fmt.Sprintf("job %d run %d", number, run) }

// outputsOf are the output variables of a run that succeeds.
func outputsOf(number, run int) map[string]string {
	return map[string]string{"Number": strconv.Itoa(number), "Run": strconv.Itoa(run)}
}
