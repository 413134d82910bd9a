package emulator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// TestManyWorkersClaimEachJobOnce lets 50 workers race for 250 jobs. To provoke conflicts, each
// worker claims each job twice concurrently, and unclaimed jobs are handed out again after 250
// polls.
func TestManyWorkersClaimEachJobOnce(t *testing.T) {
	const executions, actions, workers = 5, 50, 50
	w := newWorld(t, func(o *Options) { o.RedispatchAfter = 250 * time.Millisecond })
	w.begin(func(d *types.PipelineDeclaration) {
		d.ExecutionMode, d.PipelineType = types.ExecutionModeParallel, types.PipelineTypeV2
		d.Stages = d.Stages[:2]
		d.Stages[1].Actions = nil
		for i := range actions {
			d.Stages[1].Actions = append(d.Stages[1].Actions, pipeline.NewAction(fmt.Sprintf("a%d", i), customType(types.ActionCategoryBuild)).Declaration())
		}
	})
	for range executions - 1 {
		w.start()
	}
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Minute)
	defer cancel()
	claims := claims{wanted: executions * actions, jobs: map[string]int{}, done: cancel, polled: func() { w.clock.Step(time.Millisecond) }}
	problems := make(chan error, workers)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() { problems <- claims.work(ctx, w.pipelines) })
	}
	group.Wait()
	for range workers {
		w.Expect(<-problems).To(Succeed())
	}
	w.Expect(claims.jobs).To(HaveLen(executions * actions))
	for id, times := range claims.jobs {
		w.Expect(times).To(Equal(1), id)
	}
	list, err := w.pipelines.ListPipelineExecutions(w.ctx, &codepipeline.ListPipelineExecutionsInput{PipelineName: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(list.PipelineExecutionSummaries).To(HaveLen(executions))
	for _, x := range list.PipelineExecutionSummaries {
		w.Expect(x.Status).To(Equal(types.PipelineExecutionStatusSucceeded))
	}
}

// claims counts how often each job was claimed.
type claims struct {
	mu     sync.Mutex
	wanted int
	ended  int
	jobs   map[string]int
	done   func() // called when all jobs have ended
	polled func() // once per poll
}

// work polls until all jobs have ended.
func (c *claims) work(ctx context.Context, client *codepipeline.Client) error {
	for {
		c.polled()
		polled, err := client.PollForJobs(ctx, &codepipeline.PollForJobsInput{ActionTypeId: customType(types.ActionCategoryBuild), MaxBatchSize: aws.Int32(3)})
		if ctx.Err() != nil {
			return c.missing()
		}
		if err != nil {
			return err
		}
		for _, j := range polled.Jobs {
			if err := c.do(ctx, client, j); err != nil {
				return err
			}
		}
	}
}

func (c *claims) missing() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended < c.wanted {
		return fmt.Errorf("only %d of %d jobs have ended in time", c.ended, c.wanted)
	}
	return nil
}

func (c *claims) do(ctx context.Context, client *codepipeline.Client, j types.Job) error {
	won := make(chan bool, 2)
	problems := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := client.AcknowledgeJob(ctx, &codepipeline.AcknowledgeJobInput{JobId: j.Id, Nonce: j.Nonce})
			var taken *types.InvalidNonceException
			won <- err == nil
			if errors.As(err, &taken) || ctx.Err() != nil {
				err = nil
			}
			problems <- err
		}()
	}
	if err := errors.Join(<-problems, <-problems); err != nil {
		return err
	}
	wins := 0
	for range 2 {
		if <-won {
			wins++
		}
	}
	if wins == 0 {
		return nil
	}
	c.mu.Lock()
	c.jobs[*j.Id] += wins
	c.mu.Unlock()
	if _, err := client.PutJobSuccessResult(ctx, &codepipeline.PutJobSuccessResultInput{JobId: j.Id}); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended++; c.ended == c.wanted {
		c.done()
	}
	return nil
}
