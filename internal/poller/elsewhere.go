package poller

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// A job is handed out again where it was taken. If the account, the region or the queryParam of
// an action changes meanwhile, a loop of its own polls there, for such jobs alone, as long as
// there are any: it takes no slots, and leaves new jobs.

// Place is where jobs of an action are handed out.
type Place struct {
	// Account is the name of the CodePipelineAccount, and AccountID that of the AWS account;
	// empty if it is not known.
	Account, AccountID string
	Region             string
	// QueryKey and QueryValue are the queryParam, empty if there is none or it is not known.
	QueryKey, QueryValue string
}

// PlaceOf is where a job was taken, as far as that is recorded.
func PlaceOf(job *v1alpha1.PipelineJob) Place {
	place := Place{Account: job.Spec.AccountRef.Name, AccountID: job.Spec.AccountID, Region: string(job.Spec.Region)}
	for key, value := range job.Spec.QueryParam { // one at most
		place.QueryKey, place.QueryValue = key, string(value)
	}
	return place
}

// Compare orders places.
func (p Place) Compare(other Place) int {
	return cmp.Or(cmp.Compare(p.Account, other.Account), cmp.Compare(p.Region, other.Region), cmp.Compare(p.AccountID, other.AccountID),
		cmp.Compare(p.QueryKey, other.QueryKey), cmp.Compare(p.QueryValue, other.QueryValue))
}

// covers reports whether polls here bring the jobs of another place. What is not known of that
// is taken to be the same.
func (p Place) covers(of Place) bool {
	return p.Account == of.Account && p.Region == of.Region &&
		(p.AccountID == of.AccountID || p.AccountID == "" || of.AccountID == "") &&
		(of.QueryKey == "" || p.QueryKey == of.QueryKey && p.QueryValue == of.QueryValue)
}

// Place is where a target polls.
func (t Target) Place() Place {
	return Place{t.Account, t.AccountID, t.Identity.Region, t.QueryKey, t.QueryValue}
}

// HandsOut reports whether polls for a target bring a job when it is to be handed out again.
func (t Target) HandsOut(job *v1alpha1.PipelineJob) bool { return t.Place().covers(PlaceOf(job)) }

// ensureElsewhere makes sure that the given targets, and no others, are polled for an action
// beside its own, for awaited jobs alone. The caller holds the lock.
func (p *Poller) ensureElsewhere(action types.NamespacedName, targets []Target) {
	wanted := map[Place]Target{}
	for _, target := range targets {
		wanted[target.Place()] = target
	}
	maps.DeleteFunc(p.elsewhere[action], func(place Place, l *loop) bool {
		_, stays := wanted[place]
		if !stays && l.cancel != nil {
			l.cancel()
		}
		return !stays
	})
	for place, target := range wanted {
		if l, ok := p.elsewhere[action][place]; ok {
			l.aim(target)
			continue
		}
		if p.elsewhere[action] == nil {
			p.elsewhere[action] = map[Place]*loop{}
		}
		l := newLoop(p, target, nil)
		l.elsewhere = true
		p.elsewhere[action][place] = l
		if p.running != nil {
			p.launch(l)
		}
	}
	if len(p.elsewhere[action]) == 0 {
		delete(p.elsewhere, action)
	}
}

// HealthElsewhere tells how the last poll for an action went in a place beside its own target.
func (p *Poller) HealthElsewhere(action types.NamespacedName, place Place) Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.elsewhere[action][place]; ok {
		return l.health()
	}
	return Health{}
}

// all are the loops of all actions. The caller holds the lock.
func (p *Poller) all() []*loop {
	all := slices.Collect(maps.Values(p.loops))
	for _, loops := range p.elsewhere {
		all = slices.AppendSeq(all, maps.Values(loops))
	}
	return all
}

// take gives the loop what its target's polls may ask for.
func (l *loop) take(target Target) room {
	if l.elsewhere {
		return l.poller.capacity.awaitedIn(target.Action, target.Place())
	}
	return l.poller.capacity.take(target.Action)
}

// give gives back the slots that were not filled.
func (l *loop) give(target Target, failed bool) {
	if !l.elsewhere {
		l.poller.gaveBack(target.Action, failed)
	}
}

// reserve holds a slot for a new job, and reports whether there is one.
func (l *loop) reserve(target Target, name string) bool {
	return !l.elsewhere && l.poller.capacity.reserve(target.Action, name)
}

// leaves reports whether a job is left to others: an action takes no new jobs elsewhere, not
// later either.
func (l *loop) leaves(became intakeResult, err error) bool {
	return l.elsewhere && err == nil && became == intakeLeft
}

// aim sets where an action takes jobs: only those that are awaited there are asked for.
func (c *capacity) aim(action types.NamespacedName, here Place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(action).here = &here
}

// awaitedIn is the room of a poll in a place where an action takes no new jobs.
func (c *capacity) awaitedIn(action types.NamespacedName, place Place) (open room) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of(action)
	defer c.drop(action)
	open.awaited, open.since = of.awaitedIn(&place, c.clock.Now())
	return open
}

// awaitedIn is how many jobs are awaited in a place, nil being any, and since when the newest is.
// It forgets those whose time is over.
func (u *usage) awaitedIn(place *Place, now time.Time) (count int32, newest time.Time) {
	maps.DeleteFunc(u.awaited, func(_ string, is awaiting) bool { return !is.until.IsZero() && !now.Before(is.until) })
	for _, is := range u.awaited {
		if place != nil && !place.covers(is.in) {
			continue
		}
		count++
		if is.since.After(newest) {
			newest = is.since
		}
	}
	return count, newest
}
