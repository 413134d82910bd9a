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

// A job is handed out again in the place where it was taken. If the account, the region or the
// queryParam of an action changes in the meantime, a separate loop polls the earlier place for as
// long as jobs are awaited there. It takes no slots, and leaves new jobs. Two CodePipelineAccounts
// of the same AWS account are the same place.

// Place is where jobs of an action are handed out.
type Place struct {
	// Account is the name of the CodePipelineAccount, and AccountID the ID of the AWS account,
	// which is empty if unknown.
	Account, AccountID string
	Region             string
	// QueryKey and QueryValue are the queryParam. They are empty if there is none or it is
	// unknown.
	QueryKey, QueryValue string
}

// PlaceOf returns where a job was taken, as far as that is recorded.
func PlaceOf(job *v1alpha1.PipelineJob) Place {
	place := Place{Account: job.Spec.AccountRef.Name, AccountID: job.Spec.AccountID, Region: string(job.Spec.Region)}
	for key, value := range job.Spec.QueryParam { // at most one
		place.QueryKey, place.QueryValue = key, string(value)
	}
	return place
}

// Compare orders places.
func (p Place) Compare(other Place) int {
	return cmp.Or(cmp.Compare(p.Account, other.Account), cmp.Compare(p.Region, other.Region), cmp.Compare(p.AccountID, other.AccountID),
		cmp.Compare(p.QueryKey, other.QueryKey), cmp.Compare(p.QueryValue, other.QueryValue))
}

// covers reports whether polls here can bring the jobs of another place. What is unknown about
// the other place counts as the same.
func (p Place) covers(of Place) bool {
	return p.isInAccountOf(of) && p.Region == of.Region &&
		(of.QueryKey == "" || p.QueryKey == of.QueryKey && p.QueryValue == of.QueryValue)
}

// isInAccountOf reports whether two places are in the same AWS account. Several
// CodePipelineAccounts may share one, so their names decide only if an ID is unknown.
func (p Place) isInAccountOf(other Place) bool {
	if p.AccountID == "" || other.AccountID == "" {
		return p.Account == other.Account
	}
	return p.AccountID == other.AccountID
}

// Place returns where a target polls.
func (t Target) Place() Place {
	return Place{t.Account, t.AccountID, t.Identity.Region, t.QueryKey, t.QueryValue}
}

// HandsOut reports whether polls for a target bring a job if it is handed out again.
func (t Target) HandsOut(job *v1alpha1.PipelineJob) bool { return t.Place().covers(PlaceOf(job)) }

// ensureElsewhere makes an action poll for the given targets, and no others, in addition to
// its own, only for awaited jobs. The caller holds the lock.
func (p *Poller) ensureElsewhere(action types.NamespacedName, targets []Target) {
	wanted := map[Place]Target{}
	for _, target := range targets {
		wanted[target.Place()] = target
	}
	maps.DeleteFunc(p.elsewhere[action], func(place Place, l *loop) bool {
		_, stays := wanted[place]
		if !stays {
			p.end(action, l)
		}
		return !stays
	})
	for place, target := range wanted {
		if l, ok := p.elsewhere[action][place]; ok {
			l.setTarget(target)
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
	p.passKept(action)
}

// passKept gives the continuations that removed loops kept to the loops that poll where they were
// handed out. Other jobs may be new, which only the action's own loop records. The caller holds the
// lock.
func (p *Poller) passKept(action types.NamespacedName) {
	left := slices.DeleteFunc(p.kept[action], func(job *v1alpha1.PipelineJob) bool {
		for place, l := range p.elsewhere[action] {
			if job.Spec.CodePipelineJob.ContinuationToken != "" && place.covers(PlaceOf(job)) {
				l.inherit(job)
				l.awaken()
				return true
			}
		}
		return false
	})
	p.kept[action] = left
	if len(left) == 0 {
		delete(p.kept, action)
	}
}

// MayRecord reports whether an action may still record new jobs of a place that matters. After the
// action has left the place, or takes no new jobs, it is true until the answer to the last poll is
// recorded.
func (p *Poller) MayRecord(action types.NamespacedName, matters func(Place) bool) bool {
	p.init()
	return p.capacity.mayRecord(action, matters)
}

// HealthElsewhere returns how the last poll for an action went in a place other than its own
// target's.
func (p *Poller) HealthElsewhere(action types.NamespacedName, place Place) Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.elsewhere[action][place]; ok {
		return l.health()
	}
	return Health{}
}

// all returns the loops of all actions. The caller holds the lock.
func (p *Poller) all() []*loop {
	all := slices.Collect(maps.Values(p.loops))
	for _, loops := range p.elsewhere {
		all = slices.AppendSeq(all, maps.Values(loops))
	}
	return all
}

// take returns what polls for the target may ask for.
func (l *loop) take(target Target) room {
	if l.elsewhere {
		return l.poller.capacity.awaitedIn(target.Action, target.Place())
	}
	return l.poller.capacity.take(target.Action)
}

// give returns the slots that were not filled.
func (l *loop) give(target Target, failed bool) {
	if !l.elsewhere {
		l.poller.gaveBack(target.Action, failed)
	}
}

// reserve reserves a slot for a new job, and reports whether there is one.
func (l *loop) reserve(target Target, job *v1alpha1.PipelineJob) bool {
	return !l.elsewhere && l.poller.capacity.reserve(target.Action, job.Name, PlaceOf(job))
}

// leaves reports whether the loop does not keep a job that was not recorded. A loop elsewhere
// keeps none, because the action takes no new jobs there. If the action takes jobs of this
// place again, its own loop gets the job: CodePipeline may never hand it out again.
func (l *loop) leaves(target Target, offer *v1alpha1.PipelineJob, became intakeResult, err error) bool {
	if !l.elsewhere || err != nil || became != intakeLeft {
		return false
	}
	l.poller.passOn(target, offer)
	return true
}

// passOn gives a new job to the action's own loop if that loop's polls could also have brought
// it, for example if the action returned to a place during a poll there.
func (p *Poller) passOn(from Target, job *v1alpha1.PipelineJob) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.loops[from.Action]; ok && l.accept(from, job) {
		l.awaken()
	}
}

// accept takes over a job from another loop of the action, to be recorded in the next turn. It
// reports whether the job belongs to this loop: other loops may also be handed jobs that do
// not.
func (l *loop) accept(from Target, job *v1alpha1.PipelineJob) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	here, there := l.target.Place(), PlaceOf(job)
	if l.target.Type != from.Type || !here.covers(there) || !there.covers(here) || len(l.accepted) >= limits.PollBatch {
		return false
	}
	l.accepted = append(l.accepted, job)
	return true
}

// inherit takes over a job that an earlier loop of the action kept, wherever it was handed out.
func (l *loop) inherit(kept *v1alpha1.PipelineJob) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted = append(l.accepted, kept)
}

// awakenForAccepted starts another turn if there are accepted jobs.
func (l *loop) awakenForAccepted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.accepted) > 0 {
		l.awaken()
	}
}

// keepAccepted adds the accepted jobs to those that the loop keeps. A later hand-out of a job
// replaces an earlier one: the nonce of that may no longer be valid.
func (l *loop) keepAccepted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, job := range l.accepted {
		at := slices.IndexFunc(l.kept, func(kept *v1alpha1.PipelineJob) bool { return kept.Name == job.Name })
		switch {
		case at < 0:
			l.kept = append(l.kept, job)
		case l.kept[at].Spec.CodePipelineJob.PolledAt.Before(job.Spec.CodePipelineJob.PolledAt):
			l.kept[at] = job
		}
	}
	l.accepted = nil
}

// setPlace sets where an action takes jobs: its own loop asks only for jobs that are awaited
// there.
func (c *capacity) setPlace(action types.NamespacedName, here Place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(action).here = &here
}

// awaitedIn returns the room of a poll in a place where an action takes no new jobs.
func (c *capacity) awaitedIn(action types.NamespacedName, place Place) (open room) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of(action)
	defer c.drop(action)
	open.awaited, open.since = of.awaitedIn(&place, c.clock.Now())
	return open
}

// awaitedIn returns how many jobs are awaited in a place, and since when the newest of them
// is. Nil means any place. It drops jobs that are no longer awaited.
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
