// Package engine does what CodePipeline does behind its API: pipelines,
// executions, actions and jobs. It knows no HTTP. Time is its clock's: whatever
// is due is done at the start of the next call, so that nothing runs in the
// background.
package engine

import (
	"cmp"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Options configure an engine. Zero values get the defaults of complete.
type Options struct {
	Clock     Clock
	Region    string
	AccountID string
	// Objects is the S3 that artifacts are in.
	Objects Objects
	// Notify is called with each change of an action execution's state, in order,
	// while the engine is locked: it must not call the engine. Nil: nothing is.
	Notify func(Event)

	// The times and limits of the service: see emulator.Options.
	ContinuationDelay       time.Duration
	RedispatchAfter         time.Duration
	ActionTimeout           time.Duration
	CredentialsTTL          time.Duration
	JobRetention            time.Duration
	KeepExecutions          int
	MaxConcurrentExecutions int
	CreateOnly              bool

	// Where AWS documents nothing: see emulator.Options.
	ReturnPropertyTypes bool
	EscapeExternalIDs   bool
	AllowMissingOutputs bool
}

// Values of Options.RedispatchAfter.
const (
	RedispatchAtOnce time.Duration = time.Nanosecond
	RedispatchNever  time.Duration = math.MaxInt64
)

// complete returns the options with defaults in place of zero values.
func (o Options) complete() Options {
	o.ContinuationDelay = cmp.Or(o.ContinuationDelay, 5*time.Second)
	o.RedispatchAfter = cmp.Or(o.RedispatchAfter, time.Minute)
	o.ActionTimeout = cmp.Or(o.ActionTimeout, 24*time.Hour)
	o.CredentialsTTL = cmp.Or(o.CredentialsTTL, 15*time.Minute)
	o.JobRetention = cmp.Or(o.JobRetention, time.Hour)
	o.KeepExecutions = cmp.Or(o.KeepExecutions, 1000)
	o.MaxConcurrentExecutions = cmp.Or(o.MaxConcurrentExecutions, 50)
	return o
}

// Clock tells the time.
type Clock interface{ Now() time.Time }

// Objects is what the engine does in S3.
type Objects interface {
	// Copy copies an object, in the version that is wanted or the newest, and
	// returns its entity tag, without quotes, and its version, empty when the
	// bucket has no versioning.
	Copy(fromBucket, fromKey, wanted, toBucket, toKey string) (etag, version string, err error)
	// Exists reports whether there is such an object.
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
	actionTypes map[TypeID]*ActionType
	pipelines   map[string]*pipeline
	jobs        map[string]*job
	queues      map[queueID]*queue
	deadlines   deadlineHeap
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
	return &Engine{
		options:     options.complete(),
		actionTypes: map[TypeID]*ActionType{},
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
