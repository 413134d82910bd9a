// Command demo runs the operator in a cluster, from the installation to a succeeded pipeline: it
// installs the emulator, the operator and the sample actions, creates a pipeline source → build →
// test, starts it, and prints what happens.
//
// It needs a cluster that has the images (see the Makefile) and kubectl.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

type options struct {
	kubectl  string
	root     string
	pipeline string
	breakIt  bool
	timeout  time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.kubectl, "kubectl", "kubectl", "The kubectl to use; $KUBECONFIG says with which cluster.")
	flag.StringVar(&o.root, "root", ".", "The project's root folder: its files are the pipeline's source.")
	flag.StringVar(&o.pipeline, "pipeline", "demo", "Name of the pipeline.")
	flag.BoolVar(&o.breakIt, "break", false, "Make the test action fail, to see how a failure shows.")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Minute, "When to give up.")
	flag.Parse()
	if err := start(o); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// start runs the demo until it ends, is interrupted, or takes too long.
func start(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	err := run(ctx, o)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("gave up after %s (--timeout): %w", o.timeout, err)
	}
	return err
}

func run(ctx context.Context, o options) error {
	kube := kubectl{path: o.kubectl, root: o.root}
	if err := kube.install(ctx); err != nil {
		return err
	}
	forward, err := forwardEmulator(ctx)
	if err != nil {
		return err
	}
	defer forward.close()
	aws, err := newAWS(ctx, forward.url)
	if err != nil {
		return err
	}
	say("Putting the project's own files, zipped, into the bucket %s", sourceBucket)
	if err := aws.putSource(ctx, o.root); err != nil {
		return err
	}
	if err := kube.waitForActions(ctx); err != nil {
		return err
	}
	say("Making the pipeline %q (source → build → test) and starting it", o.pipeline)
	execution, err := aws.startPipeline(ctx, o.pipeline, o.breakIt)
	if err != nil {
		return err
	}
	status, err := follow(ctx, aws, kube, o.pipeline, execution)
	if err != nil {
		return err
	}
	if err := summarize(ctx, aws, kube, o.pipeline, execution, status); err != nil {
		return err
	}
	if status != succeeded {
		return fmt.Errorf("the pipeline execution ended %s", status)
	}
	return nil
}

// say prints what happens now.
func say(format string, args ...any) { fmt.Printf("==> "+format+"\n", args...) }
