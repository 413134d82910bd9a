package main

import (
	"flag"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/pipelinejob/pipelinejob-operator/controllers/pipelinejob"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
)

type options struct {
	metrics       operator.MetricsOptions
	healthAddress string
	namespaces    namespaceList
	leader        leaderElection
	runnerImage   string
	clusterID     string
	// executionInterval is as in operator.Options.
	executionInterval time.Duration
	// actionTimeout is as in operator.Options.
	actionTimeout time.Duration
	// renewal is operator.Options.CredentialsRenewal.
	renewal           time.Duration
	maxConcurrentJobs int
	lanes             lanes.Options
	workers           int
	allowedRoles      roles
	eventQueueURL     string
	artifacts         artifactLimits
	// workspaceSizeLimit is jobspec.Options.WorkspaceSizeLimit.
	workspaceSizeLimit resource.QuantityValue
	runner             runnerFlags
	log                zap.Options
}

// artifactLimits bound what an artifact may unpack to. Zero means the runner's default.
type artifactLimits struct {
	size           resource.QuantityValue
	entries, ratio int
}

func (l *artifactLimits) bind() {
	flag.Var(&l.size, "artifact-max-size", "Maximum size of the files of an input or output artifact, such as 100Gi; 0: 64Gi.")
	flag.IntVar(&l.entries, "artifact-max-entries", 0, "Maximum number of files, folders and links in an artifact; 0: 5000000.")
	flag.IntVar(&l.ratio, "artifact-max-ratio", 0,
		"Maximum size of the files of an artifact as a multiple of the artifact's own size, from 1 GiB on; 0: 200.")
}

// args returns the runner's arguments.
func (l *artifactLimits) args() ([]string, error) {
	var args []string
	for _, limit := range []struct {
		flag, arg string
		value     int64
	}{
		{"artifact-max-size", "max-bytes", l.size.Value()},
		{"artifact-max-entries", "max-entries", int64(l.entries)},
		{"artifact-max-ratio", "max-ratio", int64(l.ratio)},
	} {
		switch {
		case limit.value < 0:
			return nil, fmt.Errorf("--%s is %d: it must be 0 or more", limit.flag, limit.value)
		case limit.value > 0:
			args = append(args, fmt.Sprintf("--%s=%d", limit.arg, limit.value))
		}
	}
	return args, nil
}

// roles is a flag with a list of patterns.
type roles []string

func (r *roles) String() string { return strings.Join(*r, ",") }

// Set parses a list. It refuses an empty pattern, which would match nothing and is probably a typo.
func (r *roles) Set(list string) error {
	*r = nil
	for pattern := range strings.SplitSeq(list, ",") {
		pattern = strings.TrimSpace(pattern)
		if !strings.HasPrefix(pattern, "arn:") && pattern != "*" {
			return fmt.Errorf("%q must begin with arn:, such as arn:aws:iam::111122223333:role/codepipeline-*", pattern)
		}
		*r = append(*r, pattern)
	}
	return nil
}

// The largest values of the flags for lanes. Larger ones are probably typos.
const (
	maxInFlight = 1000
	maxRate     = 10_000
)

// clusterID matches a cluster ID. An external ID, CLUSTER-ID/NAMESPACE, has at most 1,224
// characters (API reference of AssumeRole, ExternalId), of which /NAMESPACE needs up to 64.
var clusterID = regexp.MustCompile(`^[\w+=,.@:/-]{0,1000}$`)

// maxWorkers is the largest value of --concurrent-reconciles.
const maxWorkers = 1000

func parse() (options, error) {
	var o options
	bindMetrics(flag.CommandLine, &o.metrics)
	flag.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "Address that serves /healthz and /readyz.")
	flag.Var(&o.namespaces, "namespaces", "Namespaces to work in, separated by commas; the operator needs a Role in each (default: all namespaces).")
	o.leader.bind(flag.CommandLine)
	flag.StringVar(&o.runnerImage, "runner-image", "",
		"Image with /runner for the pods of jobs (default: the image of the operator's own pod; outside a cluster it must be set).")
	flag.StringVar(&o.clusterID, "cluster-id", "",
		"Unique name of this cluster in the external ID (CLUSTER-ID/NAMESPACE) for assuming the roles of CodePipelineAccounts (default: the UID of the namespace kube-system).")
	flag.DurationVar(&o.executionInterval, "execution-interval", time.Minute,
		"Time between two checks whether a pipeline execution with running jobs was stopped (codepipeline:ListActionExecutions); 0: only after --action-timeout, or if CodePipeline refuses the progress of an action whose claim it did not confirm.")
	flag.DurationVar(&o.actionTimeout, "action-timeout", pipelinejob.DefaultActionTimeout,
		"The account's quota for how long CodePipeline waits for a custom action: 1h or more. An hour after that time, the operator asks CodePipeline whether it still waits, and ends the work unless it confirms that.")
	flag.DurationVar(&o.renewal, "credentials-renewal", pipelinejob.DefaultRenewal,
		"Age at which the credentials of a running job's artifacts are renewed, from 5s to 10m; CodePipeline's last for about 15 minutes.")
	flag.IntVar(&o.maxConcurrentJobs, "max-concurrent-jobs", 0,
		"Maximum number of jobs in flight of all CustomActions together; 0: only polling.maxConcurrentJobs of each CustomAction limits them.")
	flag.IntVar(&o.lanes.InFlight, "aws-max-in-flight", lanes.DefaultInFlight,
		"Maximum number of concurrent calls to one AWS account in one region.")
	flag.Float64Var(&o.lanes.Ceiling, "aws-max-rate", lanes.DefaultCeiling,
		"Maximum number of calls per second of one operation in one AWS account and region. Throttling lowers the rate automatically.")
	flag.IntVar(&o.workers, "concurrent-reconciles", operator.DefaultWorkers,
		"Number of PipelineJobs, and of CustomActions, that are reconciled at the same time. Workers wait for the API server, but never for AWS.")
	flag.Var(&o.allowedRoles, "allowed-roles",
		"Roles that CodePipelineAccounts may name, separated by commas, * for any characters and ? for any one (default: all).")
	flag.StringVar(&o.eventQueueURL, "event-queue-url", "",
		"SQS queue with CodePipeline's action execution events, so that jobs need not wait for a poll (default: none).")
	o.artifacts.bind()
	flag.Var(&o.workspaceSizeLimit, "workspace-size-limit",
		"Size limit of the volume that the steps of a job share, such as 50Gi, if it is an emptyDir and spec.workspace sets none; 0: none.")
	o.runner.bind(flag.CommandLine)
	o.log.BindFlags(flag.CommandLine)
	flag.Parse()
	if err := o.leader.check(); err != nil {
		return o, err
	}
	return o, o.check()
}

// check returns an error that names the first flag that breaks a rule.
func (o *options) check() error {
	if o.renewal < 5*time.Second || o.renewal > 10*time.Minute {
		return fmt.Errorf("--credentials-renewal is %s: it must be from 5s to 10m", o.renewal)
	}
	if o.actionTimeout < time.Hour {
		return fmt.Errorf("--action-timeout is %s: it must be 1h or more", o.actionTimeout)
	}
	if !clusterID.MatchString(o.clusterID) {
		return fmt.Errorf("--cluster-id is %q: it may have up to 1000 letters, digits and characters of +=,.@:/_-, as the external IDs of STS have", o.clusterID)
	}
	if o.maxConcurrentJobs < 0 || o.maxConcurrentJobs > math.MaxInt32 {
		return fmt.Errorf("--max-concurrent-jobs is %d: it must be 0 or more", o.maxConcurrentJobs)
	}
	if o.lanes.InFlight < 1 || o.lanes.InFlight > maxInFlight {
		return fmt.Errorf("--aws-max-in-flight is %d: it must be from 1 to %d", o.lanes.InFlight, maxInFlight)
	}
	if o.lanes.Ceiling < 1 || o.lanes.Ceiling > maxRate {
		return fmt.Errorf("--aws-max-rate is %g: it must be from 1 to %d", o.lanes.Ceiling, maxRate)
	}
	if o.workspaceSizeLimit.Sign() < 0 {
		return fmt.Errorf("--workspace-size-limit is %s: it must be 0 or more", o.workspaceSizeLimit.String())
	}
	if o.workers < 1 || o.workers > maxWorkers {
		return fmt.Errorf("--concurrent-reconciles is %d: it must be from 1 to %d", o.workers, maxWorkers)
	}
	return o.metrics.Check()
}
