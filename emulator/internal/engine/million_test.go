package engine

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestMemoryIsFreedWhenJobsHaveExpired runs jobs in rounds, and compares the heap after each round,
// when all jobs have expired, with the heap before the first. The variable JOBS sets their number,
// 40,000 by default.
func TestMemoryIsFreedWhenJobsHaveExpired(t *testing.T) {
	jobs := 40_000
	if number, err := strconv.Atoi(os.Getenv("JOBS")); err == nil {
		jobs = number
	}
	const rounds, pipelines = 10, 10
	w := newWorld(t, func(o *Options) { o.KeepExecutions, o.MaxConcurrentExecutions = 100, 1000 })
	w.declareType("Build", "worker")
	d := declared(StageDeclaration{Name: "Build", Actions: []ActionDeclaration{custom("b")}})
	d.ExecutionMode = "PARALLEL"
	for i := range pipelines {
		d.Name = "p" + strconv.Itoa(i)
		w.create(d)
	}
	// Maps do not shrink after a round, which costs some bytes per job.
	limit := heapInUse() + 8<<20 + uint64(100*jobs/rounds)
	for round := range rounds {
		for range jobs / rounds / pipelines {
			w.doOneOfEach(pipelines)
		}
		w.clock.Step(2 * time.Hour) // all ended jobs expire
		w.poll()
		used := heapInUse()
		t.Logf("after %d jobs: %d KiB", (round+1)*jobs/rounds, used>>10)
		w.Expect(used).To(BeNumerically("<", limit), "memory has grown")
	}
	w.Expect(w.jobs).To(BeEmpty())
	w.Expect(w.queues).To(BeEmpty())
	w.Expect(w.deadlines).To(BeEmpty())
	w.Expect(w.credentials).To(BeEmpty())
}

// doOneOfEach completes an execution of each pipeline.
func (w *world) doOneOfEach(pipelines int) {
	for i := range pipelines {
		_, err := w.StartPipelineExecution(StartRequest{Name: "p" + strconv.Itoa(i)})
		w.Expect(err).NotTo(HaveOccurred())
	}
	polled, err := w.PollForJobs(PollRequest{ActionTypeID: customID("Build", "worker"), MaxBatchSize: pipelines})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(polled.Jobs).To(HaveLen(pipelines))
	for _, j := range polled.Jobs {
		w.acknowledge(j)
		w.succeedWith(j, nil)
	}
	for name := range w.objects {
		if name != "sources/app.zip" {
			delete(w.objects, name)
		}
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC() // frees what finalizers held
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
