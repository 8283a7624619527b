package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/store"
)

// cycle is one commit of a run: the messages that it carries out, what it stores, and what is due
// once that is stored.
type cycle struct {
	messages    []message
	entries     [][]byte      // audit entries of callers
	writes      []store.Write // of messages, or of a submission
	change      dag.Change
	due         dag.Due
	endedClaims []string // tags of steps
	now         dag.Now
}

// commitCycle applies messages to the run, commits what that changes, and acts on what is due then.
// After a fault the run in memory is not what is stored: load it again and carry out the same
// messages.
func (r *runner) commitCycle(ctx context.Context, messages []message) error {
	if s := r.run.Header.State; s == dag.Queued || s == dag.Running { // else nothing starts that needs a right
		if err := r.refreshRights(ctx, r.run.Header.Grant); err != nil {
			return err
		}
	}
	t := r.apply(messages)
	renew := !r.run.Done() && t.now.Up >= r.renew
	if !t.change.Empty() || len(t.entries) > 0 || renew {
		if err := r.commit(ctx, t); err != nil {
			return err
		}
	}
	r.finish(ctx, t)
	return nil
}

// apply applies messages to the run in memory and takes what has changed.
func (r *runner) apply(messages []message) *cycle {
	t := &cycle{messages: messages, now: r.e.now()}
	r.taken += r.e.semaphore.granted(r)
	r.run.Quota = r.taken
	for i := range messages {
		m := &messages[i]
		known := r.cancelled(m.command)
		if m.err = dag.Apply(r.run, m.command, t.now); m.err != nil || known {
			continue
		}
		if m.entry != nil {
			t.entries = append(t.entries, m.entry)
		}
		t.writes = append(t.writes, m.writes...)
	}
	if len(r.sizes) != len(r.run.Tasks) {
		r.fit()
	}
	r.advance(t.now)
	r.releaseSlots()
	t.change, t.due, t.endedClaims = r.run.Take(), dag.Pending(r.run), r.endedClaims()
	return t
}

// cancelled says whether a command is a cancel that was committed before, with its entry.
func (r *runner) cancelled(c dag.Command) bool {
	switch c := c.(type) {
	case dag.Cancel:
		return c.ID == r.run.Header.CancelID
	case dag.CancelTask:
		return int(c.Task) < len(r.run.Tasks) && c.ID == r.run.Tasks[c.Task].CancelID
	}
	return false
}

// advance lets time pass, acquires slots for the tasks that could start, and has Instant resolve at
// once what it can.
func (r *runner) advance(now dag.Now) {
	_ = dag.Apply(r.run, dag.Tick{}, now)
	for progress := true; progress; {
		progress = r.acquireSlots(now)
		if x, ok := r.e.Executor.(Instant); ok {
			progress = r.resolveAtOnce(x, now) || progress
		}
	}
}

// acquireSlots acquires slots for the tasks that could start, and says whether it got some.
func (r *runner) acquireSlots(now dag.Now) bool {
	missing := min(r.run.Want(), r.run.Want()+r.run.Busy()-r.taken)
	if missing <= 0 {
		return false
	}
	got := r.e.semaphore.acquire(r, missing)
	if got == 0 {
		return false
	}
	r.taken += got
	r.run.Quota = r.taken
	_ = dag.Apply(r.run, dag.Tick{}, now)
	return true
}

// resolveAtOnce applies the results of the attempts that x knows at once, and says whether there
// were some.
func (r *runner) resolveAtOnce(x Instant, now dag.Now) (some bool) {
	for _, l := range dag.Unresolved(r.run) {
		if r.attempts[l.Attempt.ID] != nil {
			continue
		}
		if res, ok := x.Instant(l.Attempt); ok {
			_ = dag.Apply(r.run, dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: res}, now)
			some = true
		}
	}
	return some
}

// releaseSlots gives back the slots that the run does not use.
func (r *runner) releaseSlots() {
	if extra := r.taken - r.run.Busy(); extra > 0 {
		r.taken -= extra
		r.e.semaphore.release(extra)
	}
}

// finish answers the callers of a cycle that is stored, forgets the attempts whose results it has,
// and acts on what is due. An attempt is not forgotten before: what is due by a state without its
// result would start it a second time.
func (r *runner) finish(ctx context.Context, t *cycle) {
	for i := range t.messages {
		m := &t.messages[i]
		if m.reply != nil {
			m.reply <- m.err
		}
		if d, ok := m.command.(dag.Done); ok {
			delete(r.attempts, d.ID)
		}
	}
	r.unclaim(t.endedClaims)
	r.act(ctx, t.due)
}

// act starts and stops attempts as the state demands.
func (r *runner) act(ctx context.Context, due dag.Due) {
	r.at = due.At
	for _, id := range due.Stop {
		if stop := r.attempts[id]; stop != nil {
			stop()
		}
	}
	for i := range due.Start {
		if l := &due.Start[i]; r.attempts[l.Attempt.ID] == nil {
			r.dispatch(ctx, *l)
		}
	}
	for i := range due.Never {
		if l := &due.Never[i]; r.attempts[l.Attempt.ID] == nil {
			r.report(l, dag.Result{Class: dag.Stopped, Error: "stopped before it began"})
		}
	}
}

// tell tells the meter and the collector of traces what a cycle that is stored has ended.
func (r *runner) tell(c *dag.Change) {
	r.recordSpans(c)
	meter := r.e.Meter
	if meter == nil {
		return
	}
	for i := range c.Ended {
		meter.AttemptEnded(c.Ended[i].Kind, c.Ended[i].Class)
	}
	if r.run.Done() {
		meter.RunEnded(r.kind, r.run.Header.Status())
	}
	if r.kind == dag.Rollback {
		for _, i := range c.Finished {
			meter.Undone(r.run.Tasks[i].State == dag.Succeeded)
		}
		return
	}
	for _, w := range c.Withdrawn {
		meter.Withdrawn(w.Tasks)
	}
	for _, i := range c.Finished {
		task := &r.run.Tasks[i]
		took := time.Duration(0)
		if task.StartedAt != nil {
			took = task.CompletedAt.Sub(*task.StartedAt)
		}
		meter.TaskEnded(task.Status().Lower(), took)
	}
}
