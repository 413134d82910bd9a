package emulator

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
)

// benchmark is an emulator with jobs in many pipelines, called over HTTP.
type benchmark struct {
	*WithT
	url string
}

// newBenchmark returns a benchmark with enough queued jobs.
func newBenchmark(b *testing.B, jobs int) benchmark {
	e := StartT(b, Options{
		NoSignatures: true, Buckets: []string{"sources", "artifacts"},
		CreateOnly: true, MaxConcurrentExecutions: 1 << 20, KeepExecutions: 10,
	})
	g := NewWithT(b)
	c := client{handler: e}
	put := httptest.NewRequest(http.MethodPut, "/sources/app.zip", strings.NewReader("source"))
	put.Header.Set("Content-Length", "6")
	c.handler.ServeHTTP(httptest.NewRecorder(), put)
	g.Expect(c.do("CreateCustomActionType", workerType, nil)).To(BeEmpty())
	for started := 0; started < jobs; started++ {
		name := fmt.Sprintf("p%d", started/100)
		if started%100 == 0 {
			g.Expect(c.do("CreatePipeline", strings.Replace(manyClientsPipeline, `"p"`, fmt.Sprintf("%q", name), 1), nil)).To(BeEmpty())
		}
		g.Expect(c.do("StartPipelineExecution", fmt.Sprintf(`{"name": %q}`, name), nil)).To(BeEmpty())
	}
	return benchmark{g, e.URL()}
}

// post makes a call over HTTP and returns the response.
func post(client *http.Client, url, operation, body string) (string, error) {
	request, err := http.NewRequest(http.MethodPost, url+"/", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("X-Amz-Target", targetPrefix+operation)
	request.Header.Set("Content-Type", contentType)
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // only opened for reading
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", operation, response.Status, text)
	}
	return string(text), err
}

// inParallel calls do b.N times, from 16 connections.
func inParallel(b *testing.B, do func(*http.Client) error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	b.Cleanup(transport.CloseIdleConnections)
	b.SetParallelism(8)
	var once sync.Once
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c := &http.Client{Transport: transport}
		for pb.Next() {
			if err := do(c); err != nil {
				once.Do(func() { b.Error(err) })
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

const pollBody = `{"actionTypeId": {"category": "Build", "owner": "Custom", "provider": "worker", "version": "1"}}`

// BenchmarkNothing measures a server that does nothing, as the baseline for the others.
func BenchmarkNothing(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"jobs":[]}`)
	}))
	defer server.Close()
	inParallel(b, func(c *http.Client) error {
		_, err := post(c, server.URL, "PollForJobs", pollBody)
		return err
	})
}

// BenchmarkPollOfNothing polls without any jobs.
func BenchmarkPollOfNothing(b *testing.B) {
	bench := newBenchmark(b, 0)
	inParallel(b, func(c *http.Client) error {
		_, err := post(c, bench.url, "PollForJobs", pollBody)
		return err
	})
}

// BenchmarkPoll polls for jobs from a long queue.
func BenchmarkPoll(b *testing.B) {
	bench := newBenchmark(b, b.N)
	inParallel(b, func(c *http.Client) error {
		_, err := post(c, bench.url, "PollForJobs", pollBody)
		return err
	})
}

// polled polls for jobs and returns their IDs and nonces.
func (bench benchmark) polled(count int) (jobs [][2]string) {
	for len(jobs) < count {
		var answer struct{ Jobs []struct{ ID, Nonce string } }
		text, err := post(http.DefaultClient, bench.url, "PollForJobs", strings.TrimSuffix(pollBody, "}")+`, "maxBatchSize": 100}`)
		bench.Expect(err).NotTo(HaveOccurred())
		bench.Expect(json.Unmarshal([]byte(text), &answer)).To(Succeed())
		bench.Expect(answer.Jobs).NotTo(BeEmpty())
		for _, j := range answer.Jobs {
			jobs = append(jobs, [2]string{j.ID, j.Nonce})
		}
	}
	return jobs
}

// BenchmarkAcknowledge claims jobs.
func BenchmarkAcknowledge(b *testing.B) {
	bench := newBenchmark(b, b.N)
	next := each(bench.polled(b.N))
	inParallel(b, func(c *http.Client) error {
		j := next()
		_, err := post(c, bench.url, "AcknowledgeJob", fmt.Sprintf(`{"jobId": %q, "nonce": %q}`, j[0], j[1]))
		return err
	})
}

// BenchmarkPut reports results, each of which continues an execution.
func BenchmarkPut(b *testing.B) {
	bench := newBenchmark(b, b.N)
	jobs := bench.polled(b.N)
	for _, j := range jobs {
		_, err := post(http.DefaultClient, bench.url, "AcknowledgeJob", fmt.Sprintf(`{"jobId": %q, "nonce": %q}`, j[0], j[1]))
		bench.Expect(err).NotTo(HaveOccurred())
	}
	next := each(jobs)
	inParallel(b, func(c *http.Client) error {
		_, err := post(c, bench.url, "PutJobSuccessResult", fmt.Sprintf(`{"jobId": %q, "executionDetails": {"summary": "done"}}`, next()[0]))
		return err
	})
}

// each returns a function that returns the next item. It is safe for concurrent use.
func each[T any](list []T) func() T {
	var mu sync.Mutex
	return func() T {
		mu.Lock()
		defer mu.Unlock()
		first := list[0]
		list = list[1:]
		return first
	}
}
