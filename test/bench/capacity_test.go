//go:build bench

package bench

import (
	"fmt"
	"strings"
)

// Defaults of the operator that bound its capacity.
const (
	// awsMaxRate is the default of --aws-max-rate, in calls per second of one operation.
	awsMaxRate = 100
	// memoryLimit is the limit in config/manager/manager.yaml, in MiB.
	memoryLimit = 512
)

// writeCapacity writes how many jobs each resource supports, according to the operator's runs.
func (r *report) writeCapacity(b *strings.Builder) {
	if len(r.runs[kindOperator]) == 0 {
		return
	}
	fmt.Fprint(b, "\n| resource | a job takes | carries at most | raise |\n| --- | --- | --- | --- |\n")
	for _, processor := range []struct{ process, raise string }{
		{processAPIServer, "cores of the control plane"},
		{processEtcd, "cores of etcd"},
		{processOperator, "the operator's CPU"},
	} {
		took := r.median(kindOperator, perJob(func(f figures) float64 { return milliseconds(f.cpu[processor.process]) }))
		fmt.Fprintf(b, "| a core of %s | %.0f ms | %.0f jobs/s | %s |\n", processor.process, took, 1000/took, processor.raise)
	}
	calls := r.median(kindOperator, perJob(func(f figures) float64 { return float64(most(f.calls)) }))
	fmt.Fprintf(b, "| AWS rate of one account and region | %.2f calls of one operation | %.0f jobs/s | `--aws-max-rate` (%d), if AWS does not throttle |\n",
		calls, awsMaxRate/calls, awsMaxRate)
	before := r.median(kindOperator, func(f figures) float64 { return f.before[processOperator] })
	grown := r.median(kindOperator, perJob(func(f figures) float64 { return f.peak[processOperator] - f.before[processOperator] }))
	fmt.Fprintf(b, "| the operator's memory | %.2f MiB for as long as its PipelineJob is kept | %.0f PipelineJobs | the memory limit (%d MiB), or a shorter `ttlSecondsAfterFinished` |\n",
		grown, (memoryLimit-before)/grown, memoryLimit)
}

// most returns the highest count.
func most(counts map[string]int) int {
	highest := 0
	for _, count := range counts {
		highest = max(highest, count)
	}
	return highest
}
