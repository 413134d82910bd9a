package emulator

import (
	"time"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/engine"
)

// regionID identifies a region of an account. Its pipelines and action types are unknown in all
// others.
type regionID struct{ account, region string }

// region serves CodePipeline in a region of an account.
type region struct {
	engine     *engine.Engine
	operations map[string]operation
	// duplicates is PollForJobs with the fault DuplicateDispatch.
	duplicates operation
}

// region returns CodePipeline in a region. The first call creates it.
func (e *Emulator) region(id regionID) *region {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known, ok := e.regions[id]; ok {
		return known
	}
	options := engine.Options{
		Clock: e.clock, Region: id.region, AccountID: id.account, Objects: e.objects,
		ContinuationDelay: e.options.ContinuationDelay, RedispatchAfter: e.options.RedispatchAfter,
		ActionTimeout: e.options.ActionTimeout, CredentialsTTL: e.options.CredentialsTTL, JobRetention: e.options.JobRetention,
		KeepExecutions: e.options.KeepExecutions, MaxConcurrentExecutions: e.options.MaxConcurrentExecutions, MaxActionTypes: e.options.MaxActionTypes,
		CreateOnly: e.options.CreateOnly, ReturnPropertyTypes: e.options.ReturnPropertyTypes,
		EscapeExternalIDs: e.options.EscapeExternalIDs, AllowMissingOutputs: e.options.AllowMissingOutputs,
	}
	if e.options.EventQueue != "" {
		options.Notify = e.publish
	}
	made := engine.New(options)
	known := &region{engine: made, operations: operations(made), duplicates: handle(made.PollAgain)}
	e.regions[id] = known
	return known
}

// grantOf returns what a job's access key allows, and the job's region. It reports whether the key
// is a job's.
func (e *Emulator) grantOf(accessKeyID string) (id regionID, grant engine.Grant, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, known := range e.regions {
		if grant, ok := known.engine.GrantOf(accessKeyID); ok {
			return id, grant, true
		}
	}
	return regionID{}, engine.Grant{Expires: time.Unix(0, 0)}, engine.IsJobKey(accessKeyID)
}
