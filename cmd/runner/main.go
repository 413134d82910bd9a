// Command runner is the program in the product's own containers of a job's
// pod: "runner fetch" before the steps, "runner report" behind them.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/internal/artifact"
	"github.com/pipelinejob/pipelinejob-operator/internal/contract"
	"github.com/pipelinejob/pipelinejob-operator/internal/result"
	"github.com/pipelinejob/pipelinejob-operator/internal/runner"
)

var commands = map[string]func(context.Context, runner.Options) error{
	"fetch":  runner.Fetch,
	"report": runner.Report,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: runner fetch|report [flags]")
		os.Exit(2)
	}
	command := os.Args[1]
	o := runner.Options{
		Stdout:  os.Stdout,
		Log:     slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Limits:  artifact.DefaultLimits,
		Renewal: 5 * time.Minute,
	}
	flags := flag.NewFlagSet("runner "+command, flag.ExitOnError)
	flags.StringVar(&o.Root, "root", contract.Root, "The shared volume.")
	flags.StringVar(&o.Handover, "handover", contract.HandoverFile, "The handover; without it the job moves no artifacts.")
	flags.StringVar(&o.TerminationLog, "termination-log", "/dev/termination-log", "Where the kubelet reads the result.")
	flags.IntVar(&o.EnvelopeLimit, "envelope-limit", result.MaxTerminationMessage, "Bytes that the kubelet keeps of it.")
	_ = flags.Parse(os.Args[2:]) // it exits on an error

	os.Exit(run(command, o))
}

func run(command string, o runner.Options) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := commands[command](ctx, o); err != nil {
		o.Log.Error("Failed", "command", command, "error", err)
		return 1
	}
	return 0
}
