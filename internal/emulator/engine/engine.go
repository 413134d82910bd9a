// Package engine is what CodePipeline does behind its API: pipelines,
// executions, actions and jobs. It knows no HTTP. Time is its clock's: whatever
// is due is done at the start of the next call, so that nothing runs in the
// background.
package engine

import (
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"
)

// Options set an engine up. Zero durations get the defaults of New.
type Options struct {
	Clock     clock.PassiveClock
	Region    string
	AccountID string
	// Objects is the S3 that artifacts are in.
	Objects Objects
	// ContinuationDelay is the time from a result with a continuation token to
	// the job that carries it on.
	ContinuationDelay time.Duration
	// RedispatchAfter is the time after which a job that was polled and not
	// acknowledged is handed out again.
	RedispatchAfter time.Duration
	// ActionTimeout is how long a custom action may take.
	ActionTimeout time.Duration
	// CredentialsTTL is how long a job's artifact credentials are good.
	CredentialsTTL time.Duration
	// JobRetention is how long a job that has ended is still known by its ID.
	JobRetention time.Duration
	// KeepExecutions is how many settled executions a pipeline remembers.
	KeepExecutions int
}

// Objects is what the engine does in S3.
type Objects interface {
	// Copy copies an object and returns its entity tag, without quotes, and its
	// version, empty when the bucket has no versioning.
	Copy(fromBucket, fromKey, toBucket, toKey string) (etag, version string, err error)
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
	// order of jobs, oldest first: polls are fair.
	queue []*job
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
	orDefault(&options.ContinuationDelay, 5*time.Second)
	orDefault(&options.RedispatchAfter, time.Minute)
	orDefault(&options.ActionTimeout, 24*time.Hour)
	orDefault(&options.CredentialsTTL, 15*time.Minute)
	orDefault(&options.JobRetention, time.Hour)
	if options.KeepExecutions == 0 {
		options.KeepExecutions = 1000
	}
	return &Engine{
		options:     options,
		actionTypes: map[typeID]*actionType{},
		pipelines:   map[string]*pipeline{},
		jobs:        map[string]*job{},
		credentials: map[string]*Grant{},
	}
}

func orDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
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
