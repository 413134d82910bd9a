// Package emulator is an AWS CodePipeline for laptops and tests. One port
// serves CodePipeline, S3, STS and SQS, told apart by the request's target header
// and the service in its signature's scope, so that AWS_ENDPOINT_URL alone
// points any AWS client at it.
//
// Accounts and regions are apart from each other: the account is that of the
// caller's key (see Options.Credentials) or of the role that it assumed by STS,
// the region is that of the signature. S3's buckets are there for all.
package emulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/model"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/objects"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/queues"
)

// Options set an emulator up. The zero value is a good one.
type Options struct {
	Logger *slog.Logger
	// Clock is the engine's; tests step a fake one, or use Emulator.Advance.
	Clock clock.PassiveClock
	// Region and AccountID are those of callers who don't tell theirs: us-east-1
	// and 111122223333 unless said otherwise.
	Region, AccountID string
	// ContinuationDelay is the time from a result with a continuation token to
	// the job that carries it on: 5 seconds.
	ContinuationDelay time.Duration
	// RedispatchAfter is the time after which a job that was polled and not
	// acknowledged is handed out again: a minute.
	RedispatchAfter time.Duration
	// ActionTimeout is how long a custom action may take: 24 hours.
	ActionTimeout time.Duration
	// CredentialsTTL is how long a job's artifact credentials are good: 15 minutes.
	CredentialsTTL time.Duration
	// JobRetention is how long a job that has ended is still known by its ID: an
	// hour.
	JobRetention time.Duration
	// KeepExecutions is how many settled executions a pipeline remembers: 1000.
	KeepExecutions int
	// MaxConcurrentExecutions is how many executions of a pipeline may be under
	// way or wait, in the modes QUEUED and PARALLEL: 50.
	MaxConcurrentExecutions int
	// CreateOnly makes CreatePipeline start no execution. The service starts one.
	CreateOnly bool
	// Buckets are made at the start.
	Buckets []string
	// Credentials are the keys that callers may sign with. Without any, every key
	// is taken for a user's of AccountID, and its signature can't be checked;
	// those of sessions and jobs, which the emulator gave, always are.
	Credentials []Credential
	// Roles are those that may be assumed, with the external ID that each demands
	// (empty: none). Nil: any role, by anybody.
	Roles map[string]string
	// NoSignatures takes requests without a signature, or with any.
	NoSignatures bool
	// EventQueue is the name of an SQS queue, in each account and region, that gets
	// CodePipeline's events of action executions there, as by a rule of
	// EventBridge; empty: none does.
	EventQueue string
	// Seed is that of the faults that happen by probability.
	Seed uint64
}

// Credential is a key of a user.
type Credential struct {
	AccessKeyID, SecretAccessKey string
	// AccountID is the user's account; empty for that of the options.
	AccountID string
}

// Emulator is CodePipeline, S3, STS and SQS of all accounts and regions.
type Emulator struct {
	options Options
	log     *slog.Logger
	clock   *movedClock
	model   *model.Model
	objects *objects.Store
	queues  *queues.Store
	keys    identity.Keys
	journal journal
	faults  faults

	mu    sync.Mutex
	sites map[place]*site

	server *http.Server
	url    string
}

// New makes an emulator that does not listen yet: see Start and Handler.
func New(o Options) (*Emulator, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	o.Region, o.AccountID = cmp.Or(o.Region, "us-east-1"), cmp.Or(o.AccountID, "111122223333")
	if err := o.check(); err != nil {
		return nil, err
	}
	shapes, err := model.Load()
	if err != nil {
		return nil, err
	}
	e := &Emulator{
		options: o, log: o.Logger, clock: &movedClock{PassiveClock: o.Clock}, model: shapes,
		objects: objects.New(), faults: newFaults(o.Seed), sites: map[place]*site{},
	}
	e.queues = queues.New(e.clock)
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
	return e, nil
}

var (
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
	regionPattern  = regexp.MustCompile(`^[a-z0-9-]{2,30}$`)
	keyPattern     = regexp.MustCompile(`^[A-Za-z0-9_]{1,128}$`)
)

// check refuses options with which no client could work.
func (o Options) check() error {
	if !regionPattern.MatchString(o.Region) {
		return fmt.Errorf("the region %q must be like us-east-1", o.Region)
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
	return nil
}

// Start listens on address ("127.0.0.1:0" for any free port) and serves until Close.
func (e *Emulator) Start(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	e.url = "http://" + listener.Addr().String()
	e.server = &http.Server{Handler: e.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := e.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			e.log.Error("Stopped serving", "error", err)
		}
	}()
	return nil
}

// URL is where it listens, such as http://127.0.0.1:4566.
func (e *Emulator) URL() string { return e.url }

// Close lets requests under way end, for a second, and stops listening.
func (e *Emulator) Close() error {
	e.queues.Close()
	if e.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := e.server.Shutdown(ctx); err != nil {
		return e.server.Close()
	}
	return nil
}
