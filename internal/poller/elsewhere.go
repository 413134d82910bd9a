package poller

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// A job is handed out again where it was taken. If the account, the region or the queryParam of
// an action changes meanwhile, a loop of its own polls there, for such jobs alone, as long as
// there are any: it takes no slots, and leaves new jobs. Another CodePipelineAccount of the same
// AWS account is the same place.

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
	return p.isInAccountOf(of) && p.Region == of.Region &&
		(of.QueryKey == "" || p.QueryKey == of.QueryKey && p.QueryValue == of.QueryValue)
}

// isInAccountOf reports whether two places are in the same AWS account. Several
// CodePipelineAccounts may be of one: their names decide only if an ID is not known.
func (p Place) isInAccountOf(other Place) bool {
	if p.AccountID == "" || other.AccountID == "" {
		return p.Account == other.Account
	}
	return p.AccountID == other.AccountID
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

// MayRecord reports whether an action may still record new jobs of a place that matters. It is so
// for as long as one is recorded that was handed out before the action moved away, or was to take
// no more jobs.
func (p *Poller) MayRecord(action types.NamespacedName, matters func(Place) bool) bool {
	p.init()
	return p.capacity.mayRecord(action, matters)
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
func (l *loop) reserve(target Target, job *v1alpha1.PipelineJob) bool {
	return !l.elsewhere && l.poller.capacity.reserve(target.Action, job.Name, PlaceOf(job))
}

// leaves reports whether a job that was not recorded is not this loop's to keep: an action takes
// no new jobs elsewhere, not later either. If the action takes the jobs of this place by now, its
// own loop gets the job: CodePipeline may never hand it out again.
func (l *loop) leaves(target Target, offer *v1alpha1.PipelineJob, became intakeResult, err error) bool {
	if !l.elsewhere || err != nil || became != intakeLeft {
		return false
	}
	l.poller.passOn(target, offer)
	return true
}

// passOn gives a new job to the action's own loop if polls for its target could have brought it
// too, as when the action returns to a place while the poll there is under way.
func (p *Poller) passOn(from Target, job *v1alpha1.PipelineJob) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.loops[from.Action]; ok && l.accept(from, job) {
		l.awaken()
	}
}

// accept takes a job over that another loop of the action was handed, until the next turn. It
// reports whether the job is this loop's: other loops are handed others' jobs too.
func (l *loop) accept(from Target, job *v1alpha1.PipelineJob) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	here, there := l.target.Place(), PlaceOf(job)
	if l.target.Type != from.Type || !here.covers(there) || !there.covers(here) || len(l.accepted) >= limits.PollBatch {
		return false
	}
	job.Spec.AccountRef.Name = l.target.Account // of the same AWS account
	l.accepted = append(l.accepted, job)
	return true
}

// inherit takes over, until the next turn, what an earlier loop of the action kept.
func (l *loop) inherit(kept []*v1alpha1.PipelineJob) {
	l.mu.Lock()
	l.accepted = append(l.accepted, kept...)
	l.mu.Unlock()
	l.awaken()
}

// awakenForAccepted has another turn follow if there are accepted jobs.
func (l *loop) awakenForAccepted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.accepted) > 0 {
		l.awaken()
	}
}

// keepAccepted adds what the loop accepted since its last turn to what it keeps. A later hand-out
// of a job takes the place of an earlier one.
func (l *loop) keepAccepted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, job := range l.accepted {
		l.kept = slices.DeleteFunc(l.kept, func(kept *v1alpha1.PipelineJob) bool { return kept.Name == job.Name })
		l.kept = append(l.kept, job)
	}
	l.accepted = nil
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
