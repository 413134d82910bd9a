// Package emulator is an AWS CodePipeline for laptops and tests. One port
// serves CodePipeline, S3 and STS, told apart by the request's target header
// and the service in its signature's scope, so that AWS_ENDPOINT_URL alone
// points any AWS client at it.
package emulator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"k8s.io/utils/clock"

	"github.com/pipelinejob/pipelinejob-operator/internal/emulator/engine"
	"github.com/pipelinejob/pipelinejob-operator/internal/emulator/model"
	"github.com/pipelinejob/pipelinejob-operator/internal/emulator/objects"
)

// Options set an emulator up. The zero value is a good one.
type Options struct {
	Logger *slog.Logger
	// Clock is the engine's; tests advance a fake one.
	Clock clock.PassiveClock
	// Region and AccountID are those of the pipelines: us-east-1 and
	// 111122223333 unless said otherwise.
	Region, AccountID string
	// ContinuationDelay, RedispatchAfter, ActionTimeout and CredentialsTTL are as
	// in engine.Options.
	ContinuationDelay, RedispatchAfter, ActionTimeout, CredentialsTTL time.Duration
	// JobRetention and KeepExecutions are as in engine.Options.
	JobRetention   time.Duration
	KeepExecutions int
	// Buckets are made at the start.
	Buckets []string
}

// Emulator is one account in one region.
type Emulator struct {
	log        *slog.Logger
	clock      clock.PassiveClock
	account    string
	engine     *engine.Engine
	model      *model.Model
	objects    *objects.Store
	operations map[string]operation
	journal    journal
	faults     faults

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
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.AccountID == "" {
		o.AccountID = "111122223333"
	}
	shapes, err := model.Load()
	if err != nil {
		return nil, err
	}
	e := &Emulator{log: o.Logger, clock: o.Clock, account: o.AccountID, model: shapes}
	e.objects = objects.New(objects.Options{GrantOf: e.grantOf, Now: o.Clock.Now})
	e.engine = engine.New(engine.Options{
		Clock: o.Clock, Region: o.Region, AccountID: o.AccountID, Objects: e.objects,
		ContinuationDelay: o.ContinuationDelay, RedispatchAfter: o.RedispatchAfter,
		ActionTimeout: o.ActionTimeout, CredentialsTTL: o.CredentialsTTL,
		JobRetention: o.JobRetention, KeepExecutions: o.KeepExecutions,
	})
	e.operations = operations(e.engine)
	for _, bucket := range o.Buckets {
		if err := e.objects.CreateBucket(bucket); err != nil {
			return nil, fmt.Errorf("create bucket %s: %w", bucket, err)
		}
	}
	return e, nil
}

func (e *Emulator) grantOf(accessKeyID string) (objects.Grant, bool) {
	grant, ok := e.engine.GrantOf(accessKeyID)
	return objects.Grant{Expires: grant.Expires, Read: grant.Read, Write: grant.Write, KeyID: grant.KeyID, SessionToken: grant.SessionToken}, ok
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
