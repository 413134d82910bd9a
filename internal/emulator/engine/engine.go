// Package engine is what CodePipeline does behind its API: pipelines,
// executions, actions and jobs. It knows no HTTP. Time is its clock's: whatever
// is due is done at the start of the next call, so that nothing runs in the
// background.
package engine

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"
)

// Options set an engine up.
type Options struct {
	Clock     clock.PassiveClock
	Region    string
	AccountID string
	// Objects is the S3 that artifacts are in.
	Objects Objects
	// Notify is told of each change of an action execution's state, in order, while
	// the engine works: it must not call it. Nil: nobody is.
	Notify func(Event)
	Behaviour
}

// Behaviour is what may be set of the service itself. Zero values get the
// defaults that are told here.
type Behaviour struct {
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
}

func (b *Behaviour) complete() {
	b.ContinuationDelay = cmp.Or(b.ContinuationDelay, 5*time.Second)
	b.RedispatchAfter = cmp.Or(b.RedispatchAfter, time.Minute)
	b.ActionTimeout = cmp.Or(b.ActionTimeout, 24*time.Hour)
	b.CredentialsTTL = cmp.Or(b.CredentialsTTL, 15*time.Minute)
	b.JobRetention = cmp.Or(b.JobRetention, time.Hour)
	b.KeepExecutions = cmp.Or(b.KeepExecutions, 1000)
	b.MaxConcurrentExecutions = cmp.Or(b.MaxConcurrentExecutions, 50)
}

// Objects is what the engine does in S3.
type Objects interface {
	// Copy copies an object, in the version that is wanted or the newest, and
	// returns its entity tag, without quotes, and its version, empty when the
	// bucket has no versioning.
	Copy(fromBucket, fromKey, wanted, toBucket, toKey string) (etag, version string, err error)
	// Exists says whether there is such an object.
	Exists(bucket, key string) bool
}

// Error is an error of the service's model.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func fail(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Engine is one account in one region. It is safe for concurrent use.
type Engine struct {
	options Options

	mu          sync.Mutex
	actionTypes map[typeID]*actionType
	pipelines   map[string]*pipeline
	jobs        map[string]*job
	queues      map[queueID]*queue
	deadlines   deadlines
	// touched are pipelines in which something happened that may let others go on.
	touched []*pipeline
	// ended jobs, the first to end first: they are forgotten in this order.
	ended       []*job
	credentials map[string]*Grant
	// issued are the keys of credentials, the first to expire first.
	issued []string
	nonce  int
}

// New makes an engine.
func New(options Options) *Engine {
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	options.complete()
	return &Engine{
		options:     options,
		actionTypes: map[typeID]*actionType{},
		pipelines:   map[string]*pipeline{},
		jobs:        map[string]*job{},
		queues:      map[queueID]*queue{},
		credentials: map[string]*Grant{},
	}
}

// enter locks the engine and does what has become due. The caller unlocks.
func (e *Engine) enter() (unlock func()) {
	e.mu.Lock()
	e.advance()
	return e.mu.Unlock
}

func (e *Engine) now() time.Time { return e.options.Clock.Now() }

func newID() string { return uuid.NewString() }

func (e *Engine) pipelineARN(name string) string {
	return fmt.Sprintf("arn:aws:codepipeline:%s:%s:%s", e.options.Region, e.options.AccountID, name)
}

// epoch is a timestamp as AWS JSON 1.1 writes it.
func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
