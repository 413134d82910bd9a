//go:build bench

package bench

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Kinds of runs.
const (
	kindOperator = "operator"
	kindBareSame = "bare Jobs, the operator's pods"
	kindBareOne  = "bare Jobs, one container"
	kindKueue    = "Kueue, one container"
)

// kinds is the order of the tables' rows.
var kinds = []string{kindOperator, kindBareSame, kindKueue, kindBareOne}

// report has the figures of all runs, by kind.
type report struct {
	runs map[string][]figures
	idle steps
}

func (r *report) add(kind string, f figures) {
	if r.runs == nil {
		r.runs = map[string][]figures{}
	}
	r.runs[kind] = append(r.runs[kind], f)
}

// values returns one figure of all runs of a kind, in ascending order.
func (r *report) values(kind string, figure func(figures) float64) []float64 {
	var values []float64
	for _, f := range r.runs[kind] {
		values = append(values, figure(f))
	}
	slices.Sort(values)
	return values
}

// median returns the median of a figure of all runs of a kind, the lower one of two in the middle.
func (r *report) median(kind string, figure func(figures) float64) float64 {
	values := r.values(kind, figure)
	if len(values) == 0 {
		return 0
	}
	return values[(len(values)-1)/2]
}

func (r *report) rate(kind string) float64 { return r.median(kind, figures.rate) }

// perJob divides a figure by the number of jobs.
func perJob(count func(figures) float64) func(figures) float64 {
	return func(f figures) float64 { return count(f) / float64(f.jobs) }
}

// String returns the tables of docs/performance.md, as far as their kinds were run.
func (r *report) String() string {
	var b strings.Builder
	if len(r.runs) > 0 {
		r.writeRates(&b)
		r.writeProcessors(&b)
		r.writeMemory(&b)
	}
	r.writeKinds(&b, "API requests", func(f figures) map[string]int { return f.requests })
	r.writeKinds(&b, "AWS calls", func(f figures) map[string]int { return f.calls })
	r.writeWaits(&b)
	r.writeGoals(&b)
	r.writeCapacity(&b)
	return b.String()
}

// ran returns the kinds with runs.
func (r *report) ran() []string {
	return slices.DeleteFunc(slices.Clone(kinds), func(kind string) bool { return len(r.runs[kind]) == 0 })
}

func (r *report) writeRates(b *strings.Builder) {
	first := r.runs[r.ran()[0]]
	fmt.Fprintf(b, "| %d jobs, %d runs of each | jobs/s, median | lowest and highest | of bare Jobs with the same pods | API requests a job | AWS calls a job |\n| --- | --- | --- | --- | --- | --- |\n",
		first[0].jobs, len(first))
	for _, kind := range r.ran() {
		rates := r.values(kind, figures.rate)
		aws := ""
		if kind == kindOperator {
			aws = fmt.Sprintf("%.2f", r.median(kind, perJob(func(f figures) float64 { return float64(total(f.calls)) })))
		}
		share := ""
		if bare := r.rate(yardstick(kind)); bare > 0 {
			share = fmt.Sprintf("%.2f", r.rate(kind)/bare)
		}
		fmt.Fprintf(b, "| %s | %.1f | %.1f to %.1f | %s | %.2f | %s |\n", kind, r.rate(kind), rates[0], rates[len(rates)-1], share,
			r.median(kind, perJob(func(f figures) float64 { return float64(total(f.requests)) })), aws)
	}
}

// yardstick returns the kind to compare with: bare Jobs with the same pods.
func yardstick(kind string) string {
	if kind == kindOperator || kind == kindBareSame {
		return kindBareSame
	}
	return kindBareOne
}

func total(counts map[string]int) int {
	sum := 0
	for _, count := range counts {
		sum += count
	}
	return sum
}

// processes are the columns, in order.
var processes = []string{processOperator, processKueue, processAPIServer, processEtcd, processJobs, processRig}

func (r *report) writeProcessors(b *strings.Builder) {
	fmt.Fprintf(b, "\n| processor time a job, ms | %s | all | cores busy |\n|%s\n", strings.Join(processes, " | "), strings.Repeat(" --- |", len(processes)+3))
	for _, kind := range r.ran() {
		fmt.Fprintf(b, "| %s |", kind)
		for _, process := range processes {
			b.WriteString(cell(r.median(kind, perJob(func(f figures) float64 { return milliseconds(f.cpu[process]) }))))
		}
		b.WriteString(cell(r.median(kind, perJob(func(f figures) float64 { return milliseconds(f.processor()) }))))
		b.WriteString(cell(r.median(kind, figures.cores)) + "\n")
	}
}

func (r *report) writeMemory(b *strings.Builder) {
	fmt.Fprintf(b, "\n| resident memory before and after (highest), MiB | %s |\n|%s\n", strings.Join(processes, " | "), strings.Repeat(" --- |", len(processes)+1))
	for _, kind := range r.ran() {
		fmt.Fprintf(b, "| %s |", kind)
		for _, process := range processes {
			if peak := r.median(kind, func(f figures) float64 { return f.peak[process] }); peak > 0 {
				fmt.Fprintf(b, " %.0f, %.0f (%.0f) |", r.median(kind, func(f figures) float64 { return f.before[process] }),
					r.median(kind, func(f figures) float64 { return f.after[process] }), peak)
			} else {
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
	}
}

// cell formats a value. It is empty for zero.
func cell(value float64) string {
	if value == 0 {
		return " |"
	}
	return fmt.Sprintf(" %.1f |", value)
}

// rarely is the threshold below which counts are left out: less than one per 200 jobs.
const rarely = 0.005

// writeKinds writes counts per job, by what was counted.
func (r *report) writeKinds(b *strings.Builder, title string, counts func(figures) map[string]int) {
	for _, kind := range []string{kindOperator, kindKueue} {
		names := map[string]bool{}
		for _, f := range r.runs[kind] {
			for name := range counts(f) {
				names[name] = true
			}
		}
		if len(names) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n| %s a job: %s | |\n| --- | --- |\n", title, kind)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if count := r.median(kind, perJob(func(f figures) float64 { return float64(counts(f)[name]) })); count >= rarely {
				fmt.Fprintf(b, "| %s | %.2f |\n", name, count)
			}
		}
	}
}

func (r *report) writeWaits(b *strings.Builder) {
	var loaded []time.Duration
	for _, f := range r.runs[kindOperator] {
		loaded = append(loaded, f.waits...)
	}
	if len(loaded)+len(r.idle.created) == 0 {
		return
	}
	fmt.Fprint(b, "\n| from available to Job | jobs | p50 | p99 | longest |\n| --- | --- | --- | --- | --- |\n")
	if len(r.idle.created) > 0 {
		writeWait(b, "idle, with a wake-up", r.idle.created)
		writeWait(b, "idle: to the poll", r.idle.polled)
		writeWait(b, "idle: to the PipelineJob", r.idle.recorded)
		writeWait(b, "idle: to the claim", r.idle.claimed)
	}
	if len(loaded) > 0 {
		writeWait(b, fmt.Sprintf("%d jobs at once", r.runs[kindOperator][0].jobs), loaded)
	}
}

func writeWait(b *strings.Builder, name string, waits []time.Duration) {
	fmt.Fprintf(b, "| %s | %d | %.0f ms | %.0f ms | %.0f ms |\n", name, len(waits),
		milliseconds(percentile(waits, 50)), milliseconds(percentile(waits, 99)), milliseconds(percentile(waits, 100)))
}

// percentile returns the shortest time that a share of all times does not exceed.
func percentile(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[max(1, (len(sorted)*percent+99)/100)-1]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
