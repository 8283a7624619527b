package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/store"
)

// cycle is one commit of a run: the commands that it carries out, what it stores, and what is due
// once that is stored. While one is on its way to the store, the next is made ready beside it, and
// goes behind it.
type cycle struct {
	messages  []message
	entries   [][]byte // audit entries of callers
	change    dag.Change
	due       dag.Due
	unclaimed []string // tags of steps
	now       dag.Now
	empty     bool    // nothing is to be stored
	buffer    *buffer // where it was encoded
	more      []store.Write
	number    int // in the order in which the runner made them ready
}

// cycleResult is what the store said to a cycle.
type cycleResult struct {
	rev  uint64
	took time.Duration
	err  error
}

// cycle carries out messages in a commit, behind the one that is on its way. When one of both fails
// it returns why, and what is to be carried out again once the run is loaded.
func (r *runner) commitCycle(ctx context.Context, messages []message) ([]message, error) {
	var err error
	if s := r.run.Header.State; s == dag.Queued || s == dag.Running { // else nothing starts that needs a right
		err = r.ask(ctx, r.run.Header.Grant)
	}
	var t *cycle
	if err == nil {
		t = r.apply(messages)
	}
	if r.inFlight != nil {
		if err == nil && !t.empty && r.run.Header.State == dag.Running { // else what it writes may depend on when the one before is stored
			err = r.encode(t)
		}
		if again, lost := r.arrive(ctx, <-r.stored); lost != nil {
			return append(again, messages...), lost
		}
	}
	if err == nil && !t.empty && t.buffer == nil {
		err = r.encode(t)
	}
	if err == nil {
		err = r.send(ctx, t)
	}
	return messages, err
}

// apply applies messages to the run in memory and takes what has changed.
func (r *runner) apply(messages []message) *cycle {
	now := r.e.now()
	n := r.e.semaphore.granted(r)
	r.held += n
	r.run.Quota = r.held
	t := &cycle{messages: messages, now: now}
	for i := range messages {
		m := &messages[i]
		known := r.run.Header.CancelID
		if m.err = dag.Apply(r.run, m.command, now); m.err != nil {
			continue
		}
		if c, ok := m.command.(dag.Cancel); ok && c.ID == known {
			continue // it was committed before, and so was its entry
		}
		if m.entry != nil {
			t.entries = append(t.entries, m.entry)
		}
		t.more = append(t.more, m.writes...)
	}
	if len(r.sizes) != len(r.run.Tasks) {
		r.fit()
	}
	r.advance(now)
	r.release()
	t.change, t.due, t.unclaimed = r.run.Take(), dag.Pending(r.run), r.unclaimed()
	renew := !r.run.Done() && now.Up >= r.renew
	t.empty = t.change.Empty() && len(t.entries) == 0 && !renew
	return t
}

// send commits a cycle: beside the attempts at work when there are many, whose results then make the
// next cycle.
func (r *runner) send(ctx context.Context, t *cycle) error {
	if t.empty {
		r.finish(ctx, t)
		return nil
	}
	t.buffer.writes[0].Expect = store.At(r.rev) // of the header, which the cycle before has moved
	if r.atWork() < large {
		return r.settle(ctx, t, r.e.store(ctx, t))
	}
	r.inFlight = t
	r.e.work.Go(func() {
		r.stored <- r.e.store(ctx, t)
		r.nudge()
	})
	return nil
}

// arrive takes what the store said to the cycle on its way; with a fault it returns what is to be
// carried out again.
func (r *runner) arrive(ctx context.Context, v cycleResult) ([]message, error) {
	t := r.inFlight
	r.inFlight = nil
	return t.messages, r.settle(ctx, t, v)
}

// store commits what a cycle has encoded.
func (e *Engine) store(ctx context.Context, t *cycle) cycleResult {
	start := time.Now()
	receipt, err := e.DB.Commit(ctx, store.Batch{Writes: t.buffer.writes, Appends: t.buffer.appends})
	return cycleResult{rev: receipt.Rev, took: time.Since(start), err: err}
}

// settle ends a cycle to which the store has said something.
func (r *runner) settle(ctx context.Context, t *cycle, v cycleResult) error {
	r.note(t, v)
	if v.err == nil {
		r.finish(ctx, t)
	}
	return v.err
}

// note takes in what the store said.
func (r *runner) note(t *cycle, v cycleResult) {
	r.e.putBuffer(t.buffer)
	if v.err != nil {
		return
	}
	r.rev, r.took = v.rev, v.took
	for _, i := range t.change.Finished {
		r.decided[i] = nil
	}
	r.unplace(t.number)
	markApplied(r.run.Tasks, t.change.Tasks, r.rev)
	if r.e.Meter == nil {
		return
	}
	if r.kind == dag.Rollback {
		for _, i := range t.change.Finished {
			r.e.Meter.Undone(r.run.Tasks[i].State == dag.Succeeded)
		}
		return
	}
	for _, w := range t.change.Withdrawn {
		r.e.Meter.Withdrawn(w.Tasks)
	}
	for _, i := range t.change.Finished {
		task := &r.run.Tasks[i]
		took := time.Duration(0)
		if task.StartedAt != nil {
			took = task.CompletedAt.Sub(*task.StartedAt)
		}
		r.e.Meter.TaskEnded(task.Status().Lower(), took)
	}
}

// finish answers the callers of a cycle that is stored, and acts on what is due.
func (r *runner) finish(ctx context.Context, t *cycle) {
	for i := range t.messages {
		m := &t.messages[i]
		if m.reply != nil {
			m.reply <- m.err
		}
		if d, ok := m.command.(dag.Done); ok {
			r.forgetAttempt(d.ID)
		}
	}
	r.unclaim(t.unclaimed)
	r.act(ctx, t.due)
}
