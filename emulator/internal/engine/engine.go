// Package engine implements CodePipeline without its HTTP API: pipelines, executions, actions and
// jobs. Nothing runs in the background: changes that are due according to the clock take effect at
// the start of the next call.
package engine

import (
	"cmp"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Options configure an engine. complete sets the defaults for zero values.
type Options struct {
	Clock     Clock
	Region    string
	AccountID string
	// Objects is the S3 with the artifacts.
	Objects Objects
	// Notify is called for each state change of an action execution, in order. The engine is locked
	// meanwhile, so Notify must not call it. It may be nil.
	Notify func(Event)

	// The durations and limits of the service: see emulator.Options.
	ContinuationDelay       time.Duration
	RedispatchAfter         time.Duration
	ActionTimeout           time.Duration
	CredentialsTTL          time.Duration
	JobRetention            time.Duration
	KeepExecutions          int
	MaxConcurrentExecutions int
	MaxActionTypes          int
	CreateOnly              bool

	// Behaviour that AWS does not document: see emulator.Options.
	ReturnPropertyTypes bool
	EscapeExternalIDs   bool
	AllowMissingOutputs bool
}

// Values of Options.RedispatchAfter.
const (
	RedispatchAtOnce time.Duration = time.Nanosecond
	RedispatchNever  time.Duration = math.MaxInt64
)

// complete returns the options with defaults instead of zero values.
func (o Options) complete() Options {
	o.ContinuationDelay = cmp.Or(o.ContinuationDelay, 5*time.Second)
	o.RedispatchAfter = cmp.Or(o.RedispatchAfter, time.Minute)
	o.ActionTimeout = cmp.Or(o.ActionTimeout, 24*time.Hour)
	o.CredentialsTTL = cmp.Or(o.CredentialsTTL, 15*time.Minute)
	o.JobRetention = cmp.Or(o.JobRetention, time.Hour)
	o.KeepExecutions = cmp.Or(o.KeepExecutions, 1000)
	o.MaxConcurrentExecutions = cmp.Or(o.MaxConcurrentExecutions, 50)
	o.MaxActionTypes = cmp.Or(o.MaxActionTypes, 50)
	return o
}

// Clock returns the time.
type Clock interface{ Now() time.Time }

// Objects has the S3 calls of the engine.
type Objects interface {
	// Copy copies the wanted version of an object, or the newest one. It returns the entity tag,
	// without quotes, and the version, which is empty if the bucket has no versioning.
	Copy(fromBucket, fromKey, wanted, toBucket, toKey string) (etag, version string, err error)
	// Exists reports whether an object exists.
	Exists(bucket, key string) bool
}

// Error is an error of the service's API model.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func fail(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Engine is CodePipeline in one account and region. It is safe for concurrent use.
type Engine struct {
	options Options

	mu          sync.Mutex
	actionTypes map[TypeID]*ActionType
	pipelines   map[string]*pipeline
	jobs        map[string]*job
	queues      map[queueID]*queue
	deadlines   deadlineHeap
	// touched are pipelines with changes after which executions may be able to continue.
	touched []*pipeline
	// ended are the ended jobs, in order. They are forgotten in this order.
	ended       []*job
	credentials map[string]*Grant
	// issued are the keys of credentials, in order of their expiry.
	issued []string
	nonce  int
}

// New returns an engine.
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

// enter locks the engine and applies due changes. The caller must unlock it.
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

// epoch returns a timestamp in the form of AWS JSON 1.1.
func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
