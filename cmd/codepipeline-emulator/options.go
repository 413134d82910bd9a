package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"strings"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

const usage = `codepipeline-emulator is an AWS CodePipeline that runs custom actions' jobs, with
S3, STS and SQS on the same port. Point any AWS client at it:

  export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_DEFAULT_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any
  aws codepipeline list-pipelines

Its state is in memory. Without configured keys, any key is accepted. Each account and
region has its own pipelines. Its control API (see --control):

  GET    /_emulator/health
  GET    /_emulator/journal?operation=AcknowledgeJob   calls received (DELETE clears)
  POST   /_emulator/faults  {"operation": "AcknowledgeJob", "kind": "ResetAfter", "times": 2}
                            {"operation": "*", "kind": "Throttle", "probability": 0.1}
                            {"operation": "PutObject", "kind": "Latency", "delay": "2s"}
                            {"operation": "*", "kind": "BlackHole", "accountId": "444455556666", "region": "eu-west-1", "probability": 1}
                            {"operation": "PollForJobs", "kind": "ProxyError", "status": 407}
  GET    /_emulator/faults  pending faults (DELETE clears)
  POST   /_emulator/clock   {"advance": "15m"}

Flags:
`

// options are the values of the flags.
type options struct {
	listen    string
	logFormat string
	emulator  emulator.Options
}

// parse parses the arguments. Its errors are for users.
func parse(arguments []string, output io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("codepipeline-emulator", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.Usage = func() {
		_, _ = fmt.Fprint(output, usage) // if this fails, nobody reads it
		flags.PrintDefaults()
	}
	flags.StringVar(&o.listen, "listen", "127.0.0.1:4566", "`ADDRESS` to listen on.")
	flags.StringVar((*string)(&o.emulator.Control), "control", "", "`WHO` may use the API below /_emulator/: loopback, all or none. Default: loopback if --listen is a loopback address, otherwise none.")
	flags.StringVar(&o.logFormat, "log-format", "text", "`FORMAT` of the log: text or json.")
	flags.StringVar(&o.emulator.Region, "region", "us-east-1", "`REGION` of callers without a signature.")
	flags.StringVar(&o.emulator.AccountID, "account", "111122223333", "`ACCOUNT` of callers whose access key has none.")
	flags.Func("create-bucket", "`BUCKET` to create at startup; may be repeated.", func(name string) error {
		o.emulator.Buckets = append(o.emulator.Buckets, name)
		return nil
	})
	callerFlags(flags, &o.emulator)
	times := serviceFlags(flags, &o.emulator)
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("only flags are allowed, no arguments such as %q", flags.Arg(0))
	}
	for _, t := range times {
		if err := t.complete(); err != nil {
			return o, err
		}
	}
	for name, count := range map[string]int{"keep-executions": o.emulator.KeepExecutions, "max-concurrent-executions": o.emulator.MaxConcurrentExecutions, "max-action-types": o.emulator.MaxActionTypes} {
		if count < 1 {
			return o, fmt.Errorf("--%s must be at least 1, not %d", name, count)
		}
	}
	if o.emulator.Control == "" {
		o.emulator.Control = controlFor(o.listen)
	}
	return o, logTo(&o.emulator, output, o.logFormat)
}

// controlFor returns the default for who may control an emulator that listens on an address: nobody
// if others can reach it, as in a cluster.
func controlFor(listen string) emulator.ControlAccess {
	host, _, err := net.SplitHostPort(listen)
	if err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback()) {
		return emulator.ControlLoopback
	}
	return emulator.ControlNone
}

func callerFlags(flags *flag.FlagSet, o *emulator.Options) {
	flags.Func("credentials-file", "`FILE` of the keys to accept, with a line \"ACCESS-KEY-ID SECRET [ACCOUNT]\" for each. By default, all keys are accepted.", func(name string) (err error) {
		o.Credentials, err = readCredentials(name)
		return err
	})
	flags.Func("role", "`ARN[=EXTERNAL-ID]` of a role that can be assumed; may be repeated. By default, all roles can be assumed.", func(role string) error {
		if o.Roles == nil {
			o.Roles = map[string]string{}
		}
		arn, externalID, _ := strings.Cut(role, "=")
		o.Roles[arn] = externalID
		return nil
	})
	flags.BoolVar(&o.NoSignatures, "no-signatures", false, "Accept requests without a signature, or with any signature.")
}

// serviceTime is a flag for a duration of the service.
type serviceTime struct {
	flag  string
	value *time.Duration
	// none is the option's value if the flag is zero, because zero means the default for the
	// option.
	none time.Duration
}

func (t serviceTime) complete() error {
	switch {
	case *t.value < 0:
		return fmt.Errorf("--%s must not be negative, but is %s", t.flag, *t.value)
	case *t.value == 0:
		*t.value = t.none
	}
	return nil
}

// serviceFlags adds the flags for the service's durations and limits, with the defaults of
// emulator.Options, and returns the durations.
func serviceFlags(flags *flag.FlagSet, o *emulator.Options) []serviceTime {
	var times []serviceTime
	add := func(value *time.Duration, name string, standard, none time.Duration, usage string) {
		flags.DurationVar(value, name, standard, usage)
		times = append(times, serviceTime{name, value, none})
	}
	add(&o.ContinuationDelay, "continuation-delay", 5*time.Second, time.Nanosecond, "Time from a continuation token to the job that carries it. 0: the next poll gets the job.")
	o.RedispatchAfter = time.Minute
	flags.Var((*redispatchAfter)(&o.RedispatchAfter), "redispatch-after", "Time after which a job that was polled, but not acknowledged, is handed out again: a `duration`, at-once or 0 (by the next poll), or never.")
	add(&o.ActionTimeout, "action-timeout", 24*time.Hour, math.MaxInt64, "Time after which a custom action fails. 0: never.")
	add(&o.CredentialsTTL, "credentials-ttl", 15*time.Minute, time.Nanosecond, "How long a job's artifact credentials are valid. 0: they are expired when the job is handed out.")
	add(&o.JobRetention, "job-retention", time.Hour, time.Nanosecond, "How long an ended job can be found by its ID. 0: not at all.")
	flags.IntVar(&o.KeepExecutions, "keep-executions", 1000, "How many ended executions a pipeline keeps: at least 1.")
	flags.IntVar(&o.MaxConcurrentExecutions, "max-concurrent-executions", 50, "How many executions of a QUEUED or PARALLEL pipeline may be in progress: at least 1.")
	flags.IntVar(&o.MaxActionTypes, "max-action-types", 50, "How many custom action types a region may have: at least 1.")
	flags.BoolVar(&o.CreateOnly, "create-only", false, "CreatePipeline starts no execution. By default, it starts one, as the service does.")
	flags.BoolVar(&o.ReturnPropertyTypes, "return-property-types", false, "ListActionTypes and CreateCustomActionType return the type of configuration properties. By default, they leave it out.")
	flags.BoolVar(&o.EscapeExternalIDs, "escape-external-ids", false, "URL templates get the external execution ID as a path segment, with / as %2F. By default, they get it unchanged.")
	flags.BoolVar(&o.AllowMissingOutputs, "allow-missing-outputs", false, "Actions succeed without their output artifacts. By default, they fail.")
	flags.StringVar(&o.EventQueue, "event-queue", "", "`NAME` of an SQS queue, in each account and region, that gets the events of action executions there. By default, there is none.")
	flags.Func("fault", "`JSON` of a fault to inject from the start, as for POST /_emulator/faults; may be repeated.", func(text string) error {
		var fault emulator.Fault
		if err := json.Unmarshal([]byte(text), &fault); err != nil {
			return err
		}
		o.Faults = append(o.Faults, fault)
		return nil
	})
	flags.Uint64Var(&o.Seed, "seed", 0, "Seed of faults with a probability.")
	return times
}

// redispatchAfter is the value of --redispatch-after.
type redispatchAfter time.Duration

func (r *redispatchAfter) String() string {
	switch after := time.Duration(*r); after {
	case emulator.RedispatchAtOnce:
		return "at-once"
	case emulator.RedispatchNever:
		return "never"
	default:
		return after.String()
	}
}

func (r *redispatchAfter) Set(text string) error {
	switch text {
	case "at-once":
		*r = redispatchAfter(emulator.RedispatchAtOnce)
		return nil
	case "never":
		*r = redispatchAfter(emulator.RedispatchNever)
		return nil
	}
	after, err := time.ParseDuration(text)
	if err != nil || after < 0 {
		return errors.New("must be a duration such as 30s, at-once or never")
	}
	if after == 0 {
		after = emulator.RedispatchAtOnce
	}
	*r = redispatchAfter(after)
	return nil
}

// readCredentials reads keys from a file, because other users can see arguments.
func readCredentials(name string) ([]emulator.Credential, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only opened for reading
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
