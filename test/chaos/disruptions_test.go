//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"time"
)

// disruption is a disruption of a process.
type disruption string

const (
	kill           disruption = "kill the leader"
	freeze         disruption = "freeze the leader past its lease"
	restartEtcd    disruption = "restart etcd"
	restartAPI     disruption = "restart the API server"
	restartControl disruption = "restart etcd and the API server"
)

// disruptionsOf returns the disruptions for a number of jobs, in an order that depends on the seed:
// 100 kills, 20 freezes and 20 restarts for 10,000 jobs.
func disruptionsOf(seed uint64, jobs int) []disruption {
	d := newDice(seed, diceOfDisruptions)
	var all []disruption
	for range max(4, jobs/100) {
		all = append(all, kill)
	}
	for range max(1, jobs/500) {
		all = append(all, freeze)
	}
	restarts := []disruption{restartAPI, restartControl, restartEtcd}
	for i := range max(1, jobs/500) {
		all = append(all, restarts[(i+d.below(3))%3])
	}
	for i := len(all) - 1; i > 0; i-- {
		j := d.below(i + 1)
		all[i], all[j] = all[j], all[i]
	}
	return all
}

// disrupt causes the disruptions, spread over the test: the next one happens when its share of the
// jobs has ended.
func (w *world) disrupt(ctx context.Context) error {
	d := newDice(w.seed, diceOfDisruptions+100)
	all := disruptionsOf(w.seed, w.jobs)
	for i, next := range all {
		due := w.jobs * i / (len(all) + 1)
		err := until(ctx, 100*time.Millisecond, "wait for jobs to end", func() bool {
			_, ended := w.cloud.progress()
			return ended >= due
		})
		if err == nil {
			pause(ctx, d.between(0, 2*time.Second))
			err = w.disruptOnce(ctx, next, d)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", next, err)
		}
		w.disrupted.Store(int64(i + 1))
	}
	return nil
}

func (w *world) disruptOnce(ctx context.Context, next disruption, d *dice) error {
	w.records.happened("%s", next)
	defer w.records.happened("done: %s", next)
	switch next {
	case kill:
		return w.managers.kill(ctx)
	case freeze:
		return w.managers.freeze(ctx, d.between(0, 3*time.Second))
	case restartEtcd:
		return w.control.restart(ctx, w.control.etcd)
	case restartAPI:
		return w.control.restart(ctx, w.control.api)
	default:
		return w.control.restart(ctx, w.control.etcd, w.control.api)
	}
}
