// Command codepipeline-emulator is an AWS CodePipeline for laptops and tests.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/pipelinejob/pipelinejob-operator/internal/emulator"
)

const usage = `codepipeline-emulator is an AWS CodePipeline that runs custom actions' jobs, with
S3 and STS beside it on the same port. Point any AWS client at it:

  export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_DEFAULT_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any
  aws codepipeline list-pipelines

Its state is in memory. GET /_emulator/journal lists the calls it received.

Flags:
`

func main() {
	var o emulator.Options
	listen := flag.String("listen", "127.0.0.1:4566", "Address to listen on.")
	flag.StringVar(&o.Region, "region", "us-east-1", "Region of the pipelines.")
	flag.StringVar(&o.AccountID, "account", "111122223333", "Account of the pipelines.")
	flag.DurationVar(&o.ContinuationDelay, "continuation-delay", 0, "From a continuation token to the job that carries it on (default 5s).")
	flag.DurationVar(&o.RedispatchAfter, "redispatch-after", 0, "When a job that nobody acknowledged is handed out again (default 1m).")
	flag.DurationVar(&o.ActionTimeout, "action-timeout", 0, "How long a custom action may take (default 24h).")
	flag.DurationVar(&o.CredentialsTTL, "credentials-ttl", 0, "How long a job's artifact credentials are good (default 15m).")
	flag.DurationVar(&o.JobRetention, "job-retention", 0, "How long a job that has ended is still known by its ID (default 1h).")
	flag.IntVar(&o.KeepExecutions, "keep-executions", 0, "How many settled executions a pipeline remembers (default 1000).")
	flag.Func("create-bucket", "Bucket to make at the start; may be repeated.", func(name string) error {
		o.Buckets = append(o.Buckets, name)
		return nil
	})
	format := flag.String("log-format", "text", "Format of the log: text or json.")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	err := logTo(&o, os.Stderr, *format)
	if err == nil {
		err = run(*listen, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "codepipeline-emulator:", err)
		os.Exit(1)
	}
}

// logTo sets a logger of the format.
func logTo(o *emulator.Options, out io.Writer, format string) error {
	switch format {
	case "text":
		o.Logger = slog.New(slog.NewTextHandler(out, nil))
	case "json":
		o.Logger = slog.New(slog.NewJSONHandler(out, nil))
	default:
		return fmt.Errorf("--log-format must be text or json, not %q", format)
	}
	return nil
}

func run(listen string, o emulator.Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e, err := emulator.New(o)
	if err != nil {
		return err
	}
	if err := e.Start(listen); err != nil {
		return err
	}
	o.Logger.Info("Listening", "url", e.URL(), "region", o.Region, "account", o.AccountID)
	<-ctx.Done()
	return e.Close()
}
