// Command runner is the program of the wrapper containers in a job's pod: "runner fetch" runs
// before the steps, "runner progress" alongside them, and "runner report" after them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"k8s.io/utils/clock"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/internal/runner"
	"github.com/pipelinejob/pipelinejob-operator/internal/s3store"
)

type command struct {
	run func(context.Context, runner.Options) error
	// memory is Go's memory limit, in bytes, if the container's limit can't be read. It fits the
	// default limits (see package jobspec).
	memory int64
}

// memoryShare is the part of the container's memory limit that Go may use.
const memoryShare = 0.75

var commands = map[string]command{
	"fetch":    {runner.Fetch, 192 << 20},   // of 256 MiB
	"report":   {runner.Report, 192 << 20},  // of 256 MiB
	"progress": {runner.Progress, 48 << 20}, // of 64 MiB
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit code: 2 if the command line is invalid.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || commands[args[0]].run == nil {
		fmt.Fprintln(stderr, "usage: runner fetch|progress|report [flags]")
		return 2
	}
	o := runner.Options{
		Stdout: stdout,
		Log:    slog.New(slog.NewTextHandler(stderr, nil)),
		Limits: archive.DefaultLimits, Retry: s3store.DefaultRetryPolicy,
		Clock: clock.RealClock{},
	}
	switch err := flagsOf(args[0], &o, stderr).Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil: // already printed, with the usage
		return 2
	}
	return execute(args[0], o)
}

func flagsOf(name string, o *runner.Options, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("runner "+name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.Root, "root", podcontract.Root, "The shared volume.")
	flags.StringVar(&o.TerminationLog, "termination-log", "/dev/termination-log", "Where the kubelet reads the result.")
	flags.IntVar(&o.EnvelopeLimit, "envelope-limit", limits.TerminationMessage, "Bytes that the kubelet keeps of it.")
	if name == "progress" {
		return flags // the arguments have no secrets
	}
	flags.StringVar(&o.Handover, "handover", "", "The handover, with the artifacts and their credentials; empty: the job has no artifacts.")
	flags.Func("default-env", "NAME=VALUE of an environment variable, unless the environment sets it; may be repeated.", setDefault)
	flags.DurationVar(&o.Renewal, "renewal", 5*time.Minute, "How long to wait for new credentials if those of the handover have expired.")
	limitFlags(flags, &o.Limits)
	flags.Func("links", "What happens to symbolic links that lead out of an artifact: Refuse (the default), Skip or Keep.", linksFlag(&o.Links))
	if name == "fetch" {
		flags.StringVar(&o.Helper, "helper", "/step", "The program to install for steps; empty: none.")
		flags.StringVar(&o.HelperDir, "helper-dir", podcontract.HelperInstallDir, "Where to install it: the folder of a separate volume.")
		flags.Func("file", "An input artifact that is not unpacked; may be given several times.", func(artifact string) error {
			o.Files = append(o.Files, artifact)
			return nil
		})
	}
	if name == "report" {
		flags.Func("empty-outputs", "What happens if output artifacts are empty: Warn (the default), Fail or Allow.", emptyOutputsFlag(&o.EmptyOutputs))
	}
	return flags
}

func emptyOutputsFlag(rule *runner.EmptyOutputs) func(string) error {
	return func(value string) error {
		switch given := runner.EmptyOutputs(value); given {
		case runner.EmptyOutputsWarn, runner.EmptyOutputsFail, runner.EmptyOutputsAllow:
			*rule = given
			return nil
		}
		return errors.New("it must be Warn, Fail or Allow")
	}
}

func linksFlag(policy *archive.LinkPolicy) func(string) error {
	return func(value string) error {
		switch given := archive.LinkPolicy(value); given {
		case archive.RefuseLinks, archive.SkipLinks, archive.KeepLinks:
			*policy = given
			return nil
		}
		return errors.New("it must be Refuse, Skip or Keep")
	}
}

// setDefault sets an environment variable, unless it is set already. The SDK and net/http read it
// later.
func setDefault(pair string) error {
	name, value, found := strings.Cut(pair, "=")
	if !found || name == "" {
		return errors.New("must be NAME=VALUE")
	}
	if _, set := os.LookupEnv(name); set {
		return nil
	}
	return os.Setenv(name, value)
}

func limitFlags(flags *flag.FlagSet, limits *archive.Limits) {
	flags.Int64Var(&limits.Bytes, "max-bytes", limits.Bytes, "Bytes that the files of an artifact may have.")
	flags.IntVar(&limits.Entries, "max-entries", limits.Entries, "Files, folders and links that an artifact may have.")
	flags.Int64Var(&limits.Ratio, "max-ratio", limits.Ratio, "Maximum size of the files of an artifact as a multiple of the artifact's own size; 0: any.")
	flags.Int64Var(&limits.RatioFrom, "max-ratio-from", limits.RatioFrom, "Size in bytes from which the ratio is checked.")
	flags.Int64Var(&limits.IndexBytes, "max-index-bytes", limits.IndexBytes, "Maximum size of a zip archive's list of entries, and of symbolic links, in bytes; 0: any.")
}

// garbage is how much the heap may grow between two collections, in percent. Most of the heap is a
// few large buffers without pointers, so collections are cheap.
const garbage = 20

// memoryLimit returns how much memory Go may use, in bytes: memoryShare of the container's limit,
// or the value of otherwise if the limit can't be read.
func memoryLimit(otherwise int64, containers func() (uint64, error)) int64 {
	limit, err := containers()
	if err != nil || limit > math.MaxInt64 {
		return otherwise
	}
	return int64(memoryShare * float64(limit))
}

func execute(name string, o runner.Options) int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit(commands[name].memory, memlimit.FromCgroup))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := commands[name].run(ctx, o); err != nil {
		o.Log.Error("Failed", "command", name, "error", err)
		return 1
	}
	return 0
}
