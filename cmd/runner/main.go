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
	"runtime/debug"
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
	o := options(command, os.Args[2:])
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	os.Exit(run(command, o))
}

// memoryLimit, in bytes, makes the garbage collector work harder before the
// container's limit of 256 MiB is near.
const memoryLimit = 192 << 20

func options(command string, args []string) runner.Options {
	o := runner.Options{
		Stdout: os.Stdout,
		Log:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Limits: artifact.DefaultLimits,
	}
	flags := flag.NewFlagSet("runner "+command, flag.ExitOnError)
	flags.StringVar(&o.Root, "root", contract.Root, "The shared volume.")
	flags.StringVar(&o.Handover, "handover", contract.HandoverFile, "The handover; without it the job moves no artifacts.")
	flags.StringVar(&o.TerminationLog, "termination-log", "/dev/termination-log", "Where the kubelet reads the result.")
	flags.IntVar(&o.EnvelopeLimit, "envelope-limit", result.MaxTerminationMessage, "Bytes that the kubelet keeps of it.")
	flags.DurationVar(&o.Renewal, "renewal", 5*time.Minute, "How long to wait for new credentials when those of the handover have expired.")
	if command == "fetch" {
		limitFlags(flags, &o.Limits)
	}
	_ = flags.Parse(args) // it exits on an error
	return o
}

func limitFlags(flags *flag.FlagSet, limits *artifact.Limits) {
	flags.Int64Var(&limits.Bytes, "max-bytes", limits.Bytes, "Bytes that an artifact may unpack to.")
	flags.IntVar(&limits.Entries, "max-entries", limits.Entries, "Files, folders and links that an artifact may have.")
	flags.Int64Var(&limits.Ratio, "max-ratio", limits.Ratio, "How many times as many bytes as the artifact itself its files may have; 0: any.")
	flags.Int64Var(&limits.RatioFrom, "max-ratio-from", limits.RatioFrom, "Bytes from which the ratio counts.")
	flags.Int64Var(&limits.Held, "max-held", limits.Held, "Bytes of a zip archive's list of entries, and of symbolic links; 0: any.")
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
