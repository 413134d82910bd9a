package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

const usage = `codepipeline-emulator is an AWS CodePipeline that runs custom actions' jobs, with
S3 and STS beside it on the same port. Point any AWS client at it:

  export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_DEFAULT_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any
  aws codepipeline list-pipelines

Its state is in memory. Any key is a user's of the account, unless keys are
configured; each account and region has its own pipelines. It is controlled by:

  GET    /_emulator/health
  GET    /_emulator/journal?operation=AcknowledgeJob   calls received (DELETE clears)
  POST   /_emulator/faults  {"operation": "AcknowledgeJob", "kind": "ResetAfter", "times": 2}
                            {"operation": "*", "kind": "Throttle", "probability": 0.1}
                            {"operation": "PutObject", "kind": "Latency", "delay": "2s"}
                            {"operation": "*", "kind": "BlackHole", "accountId": "444455556666", "region": "eu-west-1", "probability": 1}
                            {"operation": "PollForJobs", "kind": "ProxyError", "status": 407}
  GET    /_emulator/faults  those still to happen (DELETE clears)
  POST   /_emulator/clock   {"advance": "15m"}

Flags:
`

// options are what the flags set.
type options struct {
	listen    string
	logFormat string
	emulator  emulator.Options
}

// parse reads the arguments; errors are for the person who wrote them.
func parse(arguments []string, output io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("codepipeline-emulator", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.Usage = func() {
		_, _ = fmt.Fprint(output, usage) // nobody reads it when this fails
		flags.PrintDefaults()
	}
	flags.StringVar(&o.listen, "listen", "127.0.0.1:4566", "Address to listen on.")
	flags.StringVar(&o.logFormat, "log-format", "text", "Format of the log: text or json.")
	flags.StringVar(&o.emulator.Region, "region", "us-east-1", "Region of callers without a signature.")
	flags.StringVar(&o.emulator.AccountID, "account", "111122223333", "Account of callers whose key tells none.")
	flags.Func("create-bucket", "Bucket to make at the start; may be repeated.", func(name string) error {
		o.emulator.Buckets = append(o.emulator.Buckets, name)
		return nil
	})
	callerFlags(flags, &o.emulator)
	serviceFlags(flags, &o.emulator)
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("there are flags only, no arguments such as %q", flags.Arg(0))
	}
	return o, logTo(&o.emulator, output, o.logFormat)
}

func callerFlags(flags *flag.FlagSet, o *emulator.Options) {
	flags.Func("credentials-file", "File of keys to accept, with a line `ACCESS-KEY-ID SECRET [ACCOUNT]` for each. Without it all keys are.", func(name string) (err error) {
		o.Credentials, err = readCredentials(name)
		return err
	})
	flags.Func("role", "Role that may be assumed, as `ARN[=EXTERNAL-ID]`; may be repeated. Without it all roles may.", func(role string) error {
		if o.Roles == nil {
			o.Roles = map[string]string{}
		}
		arn, externalID, _ := strings.Cut(role, "=")
		o.Roles[arn] = externalID
		return nil
	})
	flags.BoolVar(&o.NoSignatures, "no-signatures", false, "Take requests without a signature, or with any.")
}

func serviceFlags(flags *flag.FlagSet, o *emulator.Options) {
	flags.DurationVar(&o.ContinuationDelay, "continuation-delay", 0, "From a continuation token to the job that carries it on (default 5s).")
	flags.Func("redispatch-after", "When a job that nobody acknowledged is handed out again: a `duration`, at-once or never (default 1m).", func(text string) (err error) {
		o.RedispatchAfter, err = redispatchAfter(text)
		return err
	})
	flags.DurationVar(&o.ActionTimeout, "action-timeout", 0, "How long a custom action may take (default 24h).")
	flags.DurationVar(&o.CredentialsTTL, "credentials-ttl", 0, "How long a job's artifact credentials are good (default 15m).")
	flags.DurationVar(&o.JobRetention, "job-retention", 0, "How long a job that has ended is still known by its ID (default 1h).")
	flags.IntVar(&o.KeepExecutions, "keep-executions", 0, "How many settled executions a pipeline remembers (default 1000).")
	flags.IntVar(&o.MaxConcurrentExecutions, "max-concurrent-executions", 0, "How many executions of a QUEUED or PARALLEL pipeline may be under way (default 50).")
	flags.BoolVar(&o.CreateOnly, "create-only", false, "CreatePipeline starts no execution; the service starts one.")
	flags.StringVar(&o.EventQueue, "event-queue", "", "`Name` of an SQS queue, in each account and region, that gets the events of action executions there (default: none).")
	flags.Func("fault", "Fault to begin with, in the `JSON` of POST /_emulator/faults; may be repeated.", func(text string) error {
		var fault emulator.Fault
		if err := json.Unmarshal([]byte(text), &fault); err != nil {
			return err
		}
		o.Faults = append(o.Faults, fault)
		return nil
	})
	flags.Uint64Var(&o.Seed, "seed", 0, "Seed of the faults that happen by probability.")
}

// redispatchAfter reads the value of --redispatch-after.
func redispatchAfter(text string) (time.Duration, error) {
	switch text {
	case "at-once":
		return emulator.RedispatchAtOnce, nil
	case "never":
		return emulator.RedispatchNever, nil
	}
	after, err := time.ParseDuration(text)
	if err != nil || after < 0 {
		return 0, errors.New("must be a duration such as 30s, at-once or never")
	}
	return after, nil
}

// readCredentials reads keys from a file: not from an argument, which all can see.
func readCredentials(name string) ([]emulator.Credential, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	var list []emulator.Credential
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
		case len(fields) == 2:
			list = append(list, emulator.Credential{AccessKeyID: fields[0], SecretAccessKey: fields[1]})
		case len(fields) == 3:
			list = append(list, emulator.Credential{AccessKeyID: fields[0], SecretAccessKey: fields[1], AccountID: fields[2]})
		default:
			return nil, fmt.Errorf("line %d must be: ACCESS-KEY-ID SECRET [ACCOUNT]", number)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no credentials", name)
	}
	return list, nil
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
