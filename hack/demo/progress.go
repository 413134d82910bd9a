package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
)

const (
	succeeded    = types.PipelineExecutionStatusSucceeded
	pollInterval = 300 * time.Millisecond
)

// follow prints every status change of an action, in CodePipeline and in Kubernetes, until the
// execution ends.
func follow(ctx context.Context, aws *clients, kube kubectl, pipeline, execution string) (types.PipelineExecutionStatus, error) {
	began := time.Now()
	shown := map[string]string{}
	show := func(who, what string) {
		if what != "" && shown[who] != what {
			shown[who] = what
			fmt.Printf("    %5.1fs  %-14s %s\n", time.Since(began).Seconds(), who, what)
		}
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		state, err := aws.pipelines.GetPipelineState(ctx, &codepipeline.GetPipelineStateInput{Name: &pipeline})
		if err != nil {
			return "", fmt.Errorf("read the pipeline's state: %w", err)
		}
		phases, err := kube.phases(ctx, execution)
		if err != nil {
			return "", err
		}
		for action := range actionsOf(state, execution) {
			name := *action.ActionName
			if phase := phases[name]; phase != "" {
				show(name+" (cpjob)", phase)
			}
			show(name, string(action.LatestExecution.Status))
		}
		status, err := aws.executionStatus(ctx, pipeline, execution)
		if err != nil {
			return "", err
		}
		if status != types.PipelineExecutionStatusInProgress {
			return status, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("wait for the pipeline to end: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

// actionsOf iterates over the actions that an execution has reached, in order.
func actionsOf(state *codepipeline.GetPipelineStateOutput, execution string) func(func(types.ActionState) bool) {
	return func(yield func(types.ActionState) bool) {
		for _, stage := range state.StageStates {
			if stage.LatestExecution == nil || aws.ToString(stage.LatestExecution.PipelineExecutionId) != execution {
				continue
			}
			for _, action := range stage.ActionStates {
				if action.LatestExecution != nil && !yield(action) {
					return
				}
			}
		}
	}
}

func (c *clients) executionStatus(ctx context.Context, pipeline, execution string) (types.PipelineExecutionStatus, error) {
	out, err := c.pipelines.GetPipelineExecution(ctx, &codepipeline.GetPipelineExecutionInput{
		PipelineName: &pipeline, PipelineExecutionId: &execution,
	})
	if err != nil {
		return "", fmt.Errorf("read the pipeline's execution: %w", err)
	}
	return out.PipelineExecution.Status, nil
}

// summarize prints the result in CodePipeline and Kubernetes, and commands to find out more.
func summarize(ctx context.Context, c *clients, kube kubectl, pipeline, execution string, status types.PipelineExecutionStatus) error {
	say("The pipeline execution ended: %s. CodePipeline says:", status)
	state, err := c.pipelines.GetPipelineState(ctx, &codepipeline.GetPipelineStateInput{Name: &pipeline})
	if err != nil {
		return fmt.Errorf("read the pipeline's state: %w", err)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', 0)
	fmt.Fprintln(table, "ACTION\tSTATUS\tSUMMARY\tEXTERNAL EXECUTION ID")
	var failures []string
	for action := range actionsOf(state, execution) {
		latest := action.LatestExecution
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", *action.ActionName, latest.Status,
			aws.ToString(latest.Summary), aws.ToString(latest.ExternalExecutionId))
		if details := latest.ErrorDetails; details != nil {
			failures = append(failures, fmt.Sprintf("%s failed: %s: %s", *action.ActionName, aws.ToString(details.Code), aws.ToString(details.Message)))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, failure := range failures {
		fmt.Println("\n" + strings.ReplaceAll(failure, "\n", "\n    "))
	}
	if err := c.printVariables(ctx, pipeline, execution); err != nil {
		return err
	}
	fmt.Println()
	say("Kubernetes says (kubectl -n %s get cpjob):", namespace)
	out, err := kube.output(ctx, "-n", namespace, "get", "cpjob", "--sort-by=.metadata.creationTimestamp")
	if err != nil {
		return err
	}
	fmt.Print(out)
	return nil
}

// printVariables prints the output variables to which later actions can refer: those of actions
// with a namespace.
func (c *clients) printVariables(ctx context.Context, pipeline, execution string) error {
	out, err := c.pipelines.ListActionExecutions(ctx, &codepipeline.ListActionExecutionsInput{
		PipelineName: &pipeline,
		Filter:       &types.ActionExecutionFilter{PipelineExecutionId: &execution},
	})
	if err != nil {
		return fmt.Errorf("list the action executions: %w", err)
	}
	fmt.Println("\nOUTPUT VARIABLES")
	for _, action := range slices.Backward(out.ActionExecutionDetails) {
		if action.Input == nil || action.Input.Namespace == nil || action.Output == nil {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(action.Output.OutputVariables)) {
			fmt.Printf("#{%s.%s} = %s\n", *action.Input.Namespace, key, action.Output.OutputVariables[key])
		}
	}
	return nil
}
