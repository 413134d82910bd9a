package emulator

import (
	"time"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/engine"
)

// place is an account's region: pipelines and action types of one are unknown
// in all others.
type place struct{ account, region string }

// site is CodePipeline in a place.
type site struct {
	engine     *engine.Engine
	operations map[string]operation
	// duplicates is PollForJobs with the fault DuplicateDispatch.
	duplicates operation
}

// site is that of a place, which is made when it is called first.
func (e *Emulator) site(at place) *site {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known, ok := e.sites[at]; ok {
		return known
	}
	options := engine.Options{
		Clock: e.clock, Region: at.region, AccountID: at.account, Objects: e.objects,
		ContinuationDelay: e.options.ContinuationDelay, RedispatchAfter: e.options.RedispatchAfter,
		ActionTimeout: e.options.ActionTimeout, CredentialsTTL: e.options.CredentialsTTL, JobRetention: e.options.JobRetention,
		KeepExecutions: e.options.KeepExecutions, MaxConcurrentExecutions: e.options.MaxConcurrentExecutions,
		CreateOnly: e.options.CreateOnly,
	}
	if e.options.EventQueue != "" {
		options.Notify = e.publish
	}
	made := engine.New(options)
	known := &site{engine: made, operations: operations(made), duplicates: handle(made.PollAgain)}
	e.sites[at] = known
	return known
}

// grantOf is what the access key of a job allows, wherever the job is; ok is
// false for a key that is no job's.
func (e *Emulator) grantOf(accessKeyID string) (at place, grant engine.Grant, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for at, known := range e.sites {
		if grant, ok := known.engine.GrantOf(accessKeyID); ok {
			return at, grant, true
		}
	}
	return place{}, engine.Grant{Expires: time.Unix(0, 0)}, engine.IsJobKey(accessKeyID)
}
