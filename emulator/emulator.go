// Package emulator emulates AWS CodePipeline for laptops and tests: pipelines, executions, custom
// actions and their jobs, in memory. A single port serves CodePipeline, S3, STS and SQS, so that
// any AWS client works with it if AWS_ENDPOINT_URL or the client's BaseEndpoint is set.
//
// In a test, one line starts it:
//
//	server := emulator.StartT(t, emulator.Options{Buckets: []string{"artifacts"}})
//	client := codepipeline.NewFromConfig(server.AWSConfig())
//
// Package [github.com/pipelinejob/pipelinejob-operator/emulator/pipeline] declares pipelines in a
// few lines. [Emulator.Inject] makes calls fail, [Emulator.Advance] moves the clock, and
// [Emulator.Journal] lists the received calls. Programs in other languages do the same over HTTP,
// below the path /_emulator/: see docs/emulator.md, which also describes how faithful each
// operation is.
//
// Each region of each account has its own pipelines and action types. The account is that of the
// caller's access key (see [Options.Credentials]) or of the assumed role, and the region is that of
// the request's signature. All accounts and regions share the S3 buckets.
package emulator

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/engine"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/model"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/objects"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/queues"
)

// Options configure an Emulator. The zero value is ready to use. An Emulator keeps
// no reference to the slices and maps of its Options.
type Options struct {
	// Logger gets one line, without secrets, for each call that Journal lists: at level Debug for
	// S3, and Info for all other services. Default: nothing is logged.
	Logger *slog.Logger
	// Clock is the clock for the expiry of jobs, credentials and messages. Due changes take effect
	// with the next call. Default: the machine's clock. See also Emulator.Advance.
	Clock Clock
	// Region is the region of callers without a signature. Default: us-east-1.
	Region string
	// AccountID is the account (12 digits) of callers whose access key has none. Default:
	// 111122223333.
	AccountID string
	// Buckets are the S3 buckets to create.
	Buckets []string

	// Credentials are the accepted access keys, whose signatures are checked. Default: any key with
	// any secret is accepted, as a user of AccountID. Keys of jobs and assumed roles are always
	// checked.
	Credentials []Credential
	// Roles maps the ARNs of the roles that can be assumed to the required external ID, or to an
	// empty string. Default: any role, without an external ID.
	Roles map[string]string
	// NoSignatures accepts unsigned requests, and does not check signatures.
	NoSignatures bool
	// Control sets who may use the emulator's own API. Default: ControlLoopback.
	Control ControlAccess

	// ContinuationDelay is the time from a result with a continuation token to the
	// job that carries the token. Default: 5 seconds.
	//
	// As for all durations and counts here, zero means the default, and New refuses negative
	// values. Use a nanosecond for no delay.
	ContinuationDelay time.Duration
	// RedispatchAfter is the time after which a job that was polled, but not
	// acknowledged, is handed out again: a duration, RedispatchAtOnce or
	// RedispatchNever. Default: 1 minute.
	RedispatchAfter time.Duration
	// ActionTimeout is the time after which a custom action fails. Default: 24
	// hours.
	ActionTimeout time.Duration
	// CredentialsTTL is how long the artifact credentials of a job are valid.
	// Default: 15 minutes.
	CredentialsTTL time.Duration
	// JobRetention is how long operations such as GetJobDetails find a job after its end. Default:
	// 1 hour.
	JobRetention time.Duration
	// KeepExecutions is the number of ended executions that a pipeline keeps. Default: 1000.
	KeepExecutions int
	// MaxConcurrentExecutions is how many executions of a pipeline may be in
	// progress or queued in the execution modes QUEUED and PARALLEL. Default: 50.
	MaxConcurrentExecutions int
	// MaxActionTypes is the quota of custom action types per region. Default: 50, as the service
	// has it until AWS increases it.
	MaxActionTypes int
	// CreateOnly prevents CreatePipeline from starting the first execution, as the service does.
	CreateOnly bool

	// The following options are for behaviour of the service that AWS does not document: see
	// docs/emulator.md.

	// ReturnPropertyTypes makes ListActionTypes and CreateCustomActionType return the type of
	// configuration properties. Default: they leave it out.
	ReturnPropertyTypes bool
	// EscapeExternalIDs escapes the external execution ID as a path segment in URL templates: "/"
	// becomes "%2F". Default: URLs get it unchanged.
	EscapeExternalIDs bool
	// AllowMissingOutputs lets actions succeed without all output artifacts. An action that reads a
	// missing one finds no object. Default: the action fails.
	AllowMissingOutputs bool

	// EventQueue is the name of an SQS queue that gets an EventBridge event for each state change
	// of an action execution, in the execution's account and region. Default: no queue.
	EventQueue string
	// Faults are injected at the start, as by Emulator.Inject.
	Faults []Fault
	// Seed is the seed for faults with a Probability.
	Seed uint64
}

// Values of Options.RedispatchAfter.
const (
	// RedispatchAtOnce hands out a job with each poll until it is acknowledged.
	RedispatchAtOnce time.Duration = engine.RedispatchAtOnce
	// RedispatchNever hands out a job once.
	RedispatchNever time.Duration = engine.RedispatchNever
)

// Clock returns the time. The clocks of k8s.io/utils/clock implement it.
type Clock interface{ Now() time.Time }

// Credential is an access key of a user.
type Credential struct {
	AccessKeyID, SecretAccessKey string
	// AccountID is the user's account. Default: Options.AccountID.
	AccountID string
}

// Emulator is an http.Handler that serves CodePipeline, S3, STS and SQS for all accounts and
// regions. It is safe for concurrent use.
//
// A Server or an httptest.Server serves it. Tests may also call it without a network. Faults that
// break a connection or never respond take over the HTTP/1 connection. Without one, ServeHTTP
// panics with http.ErrAbortHandler. A Server closes its Emulator. If you serve it in another way,
// call Close.
type Emulator struct {
	options Options
	log     *slog.Logger
	clock   *offsetClock
	model   *model.Model
	objects *objects.Store
	queues  *queues.Store
	keys    *identity.Keys
	control http.Handler
	journal journal
	closing chan struct{} // closed by Close
	close   func()
	faults  faults

	mu      sync.Mutex
	regions map[regionID]*region
}

// New returns an emulator for your own server, such as httptest.NewServer. The error names the
// invalid option, or the bucket that can't be created.
func New(options Options) (*Emulator, error) {
	o := options.complete()
	if err := o.check(); err != nil {
		return nil, err
	}
	shapes, err := model.Load()
	if err != nil {
		return nil, err
	}
	ahead := &offsetClock{base: o.Clock}
	e := &Emulator{
		options: o, log: o.Logger, clock: ahead, model: shapes,
		objects: objects.New(), queues: queues.New(ahead), keys: &identity.Keys{},
		faults: newFaults(o.Seed), regions: map[regionID]*region{}, closing: make(chan struct{}),
	}
	e.close = sync.OnceFunc(func() { close(e.closing) })
	e.control = guardControl(o.Control, e.controlHandler())
	if o.EventQueue != "" {
		e.queues.Create(queues.Name{Account: o.AccountID, Region: o.Region, Queue: o.EventQueue})
	}
	for _, c := range o.Credentials {
		e.keys.Add(c.AccessKeyID, identity.Key{Secret: c.SecretAccessKey, Caller: user(cmp.Or(c.AccountID, o.AccountID))})
	}
	for _, bucket := range o.Buckets {
		if err := e.objects.CreateBucket(bucket); err != nil {
			return nil, fmt.Errorf("create bucket %s: %w", bucket, err)
		}
	}
	for _, fault := range o.Faults {
		if err := e.Inject(fault); err != nil {
			return nil, fmt.Errorf("fault of %s: %w", fault.Operation, err)
		}
	}
	return e, nil
}

// Close ends waiting requests: long polls of SQS, and requests whose responses a fault delays or
// never sends. Later requests are served without waiting. Call it before closing a server that
// waits for its requests, such as httptest.Server. It may be called more than once.
func (e *Emulator) Close() {
	e.close()
	e.queues.Close()
}

// complete returns a copy with defaults instead of zero values. The engine has the defaults of the
// service's durations and limits.
func (o Options) complete() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = machineClock{}
	}
	o.Control = cmp.Or(o.Control, ControlLoopback)
	o.Region, o.AccountID = cmp.Or(o.Region, "us-east-1"), cmp.Or(o.AccountID, "111122223333")
	o.Buckets, o.Credentials, o.Roles = slices.Clone(o.Buckets), slices.Clone(o.Credentials), maps.Clone(o.Roles)
	return o
}

var (
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
	regionPattern  = regexp.MustCompile(`^[a-z0-9-]{2,30}$`)
	keyPattern     = regexp.MustCompile(`^[A-Za-z0-9_]{1,128}$`)
)

// check refuses invalid options.
func (o Options) check() error {
	if !regionPattern.MatchString(o.Region) {
		return fmt.Errorf("the region %q must be like us-east-1", o.Region)
	}
	if err := o.Control.check(); err != nil {
		return err
	}
	if o.EventQueue != "" && !queueName.MatchString(o.EventQueue) {
		return fmt.Errorf("the event queue %q must have 1 to 80 letters, digits, hyphens and underscores", o.EventQueue)
	}
	accounts := []string{o.AccountID}
	for _, c := range o.Credentials {
		if !keyPattern.MatchString(c.AccessKeyID) || c.SecretAccessKey == "" {
			return errors.New("credentials need an access key ID, of up to 128 letters and digits, and a secret")
		}
		accounts = append(accounts, cmp.Or(c.AccountID, o.AccountID))
	}
	for _, account := range accounts {
		if !accountPattern.MatchString(account) {
			return fmt.Errorf("the account %q must have 12 digits", account)
		}
	}
	for role := range o.Roles {
		if !roleARN.MatchString(role) {
			return fmt.Errorf("the role %q must be like arn:aws:iam::111122223333:role/NAME", role)
		}
	}
	return o.checkSizes()
}

// checkSizes refuses negative durations and counts.
func (o Options) checkSizes() error {
	for _, d := range []struct {
		option string
		value  time.Duration
	}{
		{"ContinuationDelay", o.ContinuationDelay}, {"RedispatchAfter", o.RedispatchAfter}, {"ActionTimeout", o.ActionTimeout},
		{"CredentialsTTL", o.CredentialsTTL}, {"JobRetention", o.JobRetention},
	} {
		if d.value < 0 {
			return fmt.Errorf("the option %s must not be negative, but is %s", d.option, d.value)
		}
	}
	if o.KeepExecutions < 0 {
		return fmt.Errorf("the option KeepExecutions must not be negative, but is %d", o.KeepExecutions)
	}
	if o.MaxActionTypes < 0 {
		return fmt.Errorf("the option MaxActionTypes must not be negative, but is %d", o.MaxActionTypes)
	}
	if o.MaxConcurrentExecutions < 0 {
		return fmt.Errorf("the option MaxConcurrentExecutions must not be negative, but is %d", o.MaxConcurrentExecutions)
	}
	return nil
}
