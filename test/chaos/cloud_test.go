//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// cloud is the emulated AWS, with a pipeline for each kind of job.
type cloud struct {
	server    *emulator.Server
	pipelines *sdk.Client
	records   *records

	mu      sync.Mutex
	started map[int]started
	ended   map[int]bool
	// calls are the operators' calls for jobs that were read so far.
	calls []emulator.Call
	read  int // Sequence of the last call
	// count and fault are the numbers of calls and failed calls per operation until quiet.
	quiet bool
	count map[string]int
	fault map[string]int
}

// started is an execution of a pipeline.
type started struct{ pipeline, execution string }

// operations are the operations that the operator calls.
var operations = []string{
	"PollForJobs", "AcknowledgeJob", "GetJobDetails", "PutJobSuccessResult", "PutJobFailureResult", "ListActionExecutions",
	"CreateCustomActionType", "ListActionTypes", "TagResource", "UntagResource", "ListTagsForResource",
}

// ofJobs are the operations that name a job.
var ofJobs = map[string]bool{"AcknowledgeJob": true, "GetJobDetails": true, "PutJobSuccessResult": true, "PutJobFailureResult": true}

// awsFaults share faultRate. Half of them happen before the call takes effect, and half after it.
// Faults that only the client's timeout ends are rare, because the test would mostly wait
// otherwise.
var awsFaults = []struct {
	kind emulator.FaultKind
	rate float64
}{
	{emulator.ServerError, 0.03},
	{emulator.ResetBefore, 0.03},
	{emulator.ProxyError, 0.02},
	{emulator.Throttle, 0.018},
	{emulator.BlackHole, 0.002},
	{emulator.ServerErrorAfter, 0.03},
	{emulator.ResetAfter, 0.045},
	{emulator.ProxyErrorAfter, 0.02},
	{emulator.HalfAnswer, 0.003},
	{emulator.BlackHoleAfter, 0.002},
}

// duplicates is the share of polls that hand out jobs again.
const duplicates = 0.03

func startCloud(ctx context.Context, seed uint64, jobs int, l *records) (*cloud, error) {
	d := newDice(seed, diceOfWorld)
	server, err := emulator.Start("127.0.0.1:0", emulator.Options{
		Buckets: []string{"source", "artifacts"}, CreateOnly: true, Seed: seed,
		// The service does not document these durations.
		RedispatchAfter: d.between(time.Second, 15*time.Second), ContinuationDelay: d.between(100*time.Millisecond, 3*time.Second),
		KeepExecutions: jobs + 1000, MaxConcurrentExecutions: jobs + 1000, JobRetention: 24 * time.Hour,
	})
	if err != nil {
		return nil, err
	}
	c := &cloud{
		server: server, pipelines: sdk.NewFromConfig(server.AWSConfig()), records: l,
		started: map[int]started{}, ended: map[int]bool{}, count: map[string]int{}, fault: map[string]int{},
	}
	objects := s3.NewFromConfig(server.AWSConfig(), func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("source"), Key: aws.String("s.zip")}); err != nil {
		return nil, fmt.Errorf("put the source: %w", err)
	}
	return c, nil
}

// startFaults makes calls fail from now on.
func (c *cloud) startFaults() error {
	for _, operation := range operations {
		left := 1.0
		for _, fault := range awsFaults {
			// A fault is drawn only if the previous ones were not.
			if err := c.server.Inject(emulator.Fault{Operation: operation, Kind: fault.kind, Probability: fault.rate / left}); err != nil {
				return err
			}
			left -= fault.rate
		}
	}
	return c.server.Inject(emulator.Fault{Operation: "PollForJobs", Kind: emulator.DuplicateDispatch, Probability: duplicates})
}

// typeOf returns the action type of a kind of jobs.
func typeOf(k kind) *types.ActionTypeId { return pipeline.CustomType("Test", string(k), "1") }

// create creates the pipelines. Their action types must exist.
func (c *cloud) create(ctx context.Context) error {
	for _, k := range kinds {
		work := pipeline.NewAction("work", typeOf(k)).Configure("Target", "#{variables.number}")
		if k == secret {
			work = work.Configure("Token", "sesame").Inputs("source")
		}
		_, err := c.pipelines.CreatePipeline(ctx, pipeline.New(string(k), "artifacts").Variable("number", "none").
			Stage("Source", pipeline.S3Source("source", "source", "s.zip").Outputs("source")).
			Stage("Work", work).Mode(types.ExecutionModeParallel).CreateInput())
		if err != nil {
			return err
		}
	}
	return nil
}

// start starts the execution of a job.
func (c *cloud) start(ctx context.Context, number int, k kind) error {
	begun, err := c.pipelines.StartPipelineExecution(ctx, &sdk.StartPipelineExecutionInput{
		Name: aws.String(string(k)), Variables: []types.PipelineVariable{{Name: aws.String("number"), Value: aws.String(strconv.Itoa(number))}},
	})
	if err != nil {
		return fmt.Errorf("start the execution of job %d: %w", number, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started[number] = started{string(k), *begun.PipelineExecutionId}
	return nil
}

// stop stops the execution of a job.
func (c *cloud) stop(ctx context.Context, number int, abandon bool) error {
	c.mu.Lock()
	of := c.started[number]
	c.mu.Unlock()
	_, err := c.pipelines.StopPipelineExecution(ctx, &sdk.StopPipelineExecutionInput{
		PipelineName: &of.pipeline, PipelineExecutionId: &of.execution, Abandon: abandon,
	})
	return err
}

// look checks which executions have ended, and returns how many have not.
func (c *cloud) look(ctx context.Context) (open int, err error) {
	c.mu.Lock()
	asked := map[int]started{}
	for number, of := range c.started {
		if !c.ended[number] {
			asked[number] = of
		}
	}
	c.mu.Unlock()
	for number, of := range asked {
		found, err := c.pipelines.GetPipelineExecution(ctx, &sdk.GetPipelineExecutionInput{PipelineName: &of.pipeline, PipelineExecutionId: &of.execution})
		if err != nil {
			return 0, err
		}
		switch found.PipelineExecution.Status {
		case types.PipelineExecutionStatusInProgress, types.PipelineExecutionStatusStopping:
			open++
		default:
			c.mu.Lock()
			c.ended[number] = true
			c.mu.Unlock()
		}
	}
	return open, nil
}

// keepLooking calls look until ctx ends.
func (c *cloud) keepLooking(ctx context.Context) {
	for pause(ctx, 500*time.Millisecond) {
		_, _ = c.look(ctx) // the next round tries again
	}
}

// progress returns how many executions were started, and how many have ended.
func (c *cloud) progress() (started, ended int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.started), len(c.ended)
}

// unended returns the jobs whose executions have not ended.
func (c *cloud) unended() (numbers []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for number := range c.started {
		if !c.ended[number] {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// readJournal reads new calls. The emulator only keeps the latest calls.
func (c *cloud) readJournal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.server.Journal(operations...) {
		if call.Sequence <= c.read {
			continue
		}
		c.read = call.Sequence
		if !c.quiet {
			c.count[call.Operation]++
		}
		if call.Fault != "" && call.Fault != emulator.DuplicateDispatch {
			c.fault[call.Operation]++
		}
		if ofJobs[call.Operation] {
			c.calls = append(c.calls, call)
		}
	}
}

// calm ends the faults.
func (c *cloud) calm() {
	c.server.ClearFaults()
	c.readJournal()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet = true
}

// keepReading reads the journal until ctx ends.
func (c *cloud) keepReading(ctx context.Context) {
	for pause(ctx, 5*time.Second) {
		c.readJournal()
	}
}

// ofJob returns the calls for jobs, by the number of the job.
func (c *cloud) ofJob(number func(id string) (int, bool)) map[int][]line {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := map[int][]line{}
	for _, call := range c.calls {
		var request struct {
			JobID string `json:"jobId"`
		}
		if json.Unmarshal(call.Request, &request) != nil {
			continue
		}
		of, known := number(request.JobID)
		if !known {
			continue
		}
		text := fmt.Sprintf("AWS %s %s", call.Operation, call.Request)
		if call.Error != "" {
			text += " → " + call.Error
		}
		if call.Fault != "" {
			text += " (fault " + string(call.Fault) + ")"
		}
		lines[of] = append(lines[of], line{call.Time, text})
	}
	return lines
}

// verdict is CodePipeline's state of a job at the end.
type verdict struct {
	execution types.PipelineExecutionStatus
	// action is empty if the action never started.
	action  types.ActionExecutionStatus
	code    string
	message string
	outputs map[string]string
}

// verdict reads the verdict on a job. It is for the time after the faults.
func (c *cloud) verdict(ctx context.Context, number int) (verdict, error) {
	c.mu.Lock()
	of, known := c.started[number]
	c.mu.Unlock()
	if !known {
		return verdict{}, fmt.Errorf("job %d was not started", number)
	}
	execution, err := c.pipelines.GetPipelineExecution(ctx, &sdk.GetPipelineExecutionInput{PipelineName: &of.pipeline, PipelineExecutionId: &of.execution})
	if err != nil {
		return verdict{}, err
	}
	v := verdict{execution: execution.PipelineExecution.Status}
	actions, err := c.pipelines.ListActionExecutions(ctx, &sdk.ListActionExecutionsInput{
		PipelineName: &of.pipeline, Filter: &types.ActionExecutionFilter{PipelineExecutionId: &of.execution},
	})
	if err != nil {
		return v, err
	}
	for _, action := range actions.ActionExecutionDetails {
		if *action.ActionName != "work" {
			continue
		}
		v.action = action.Status
		if action.Output == nil {
			continue
		}
		v.outputs = action.Output.OutputVariables
		if result := action.Output.ExecutionResult; result != nil && result.ErrorDetails != nil {
			v.code, v.message = aws.ToString(result.ErrorDetails.Code), aws.ToString(result.ErrorDetails.Message)
		}
	}
	return v, nil
}

// counts returns the calls of each operation, and how many of them failed by a fault.
func (c *cloud) counts() (calls, faults map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.count), maps.Clone(c.fault)
}
