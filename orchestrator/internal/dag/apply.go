package dag

import (
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
)

// Apply carries out a command; no other function changes a run. Take returns what is to be
// committed. A fault means that the state does not allow the command and that nothing has changed.
func Apply(r *Run, c Command, now Now) error {
	if wall := stamp(now.Wall); wall.After(r.Header.UpdatedAt) {
		r.Header.UpdatedAt = wall // stored times of a run never go back, even when the clock does
	}
	r.up = now.Up
	switch c := c.(type) {
	case Halt: // nothing may begin any more
		r.halt()
		return nil
	case Start:
		r.start()
	case TakeOver:
		r.takeOver()
	case Done:
		r.handleResult(c)
	case Cancel:
		if err := r.cancel(c); err != nil {
			return err
		}
	case CancelTask:
		if err := r.cancelOne(c); err != nil {
			return err
		}
	case Tick:
		r.tick()
	case Wave:
		r.wave(c, now)
	}
	r.advance()
	return nil
}

// now returns the time of this Apply as it is stored.
func (r *Run) now() time.Time { return r.Header.UpdatedAt }

func (r *Run) nowPointer() *time.Time {
	t := r.Header.UpdatedAt
	return &t
}

// start begins a queued run and queues each task that depends on nothing.
func (r *Run) start() {
	if r.Header.State != Queued || r.Header.Kind == Rollback {
		return
	}
	r.setRun(Running)
	r.Header.StartedAt = r.nowPointer()
	for i := range r.Tasks {
		if r.openDependencies[i] == 0 && r.Tasks[i].State == Waiting { // else it was cancelled before
			r.queue(int32(i))
		}
	}
	r.emitRun()
}

// queue queues a task behind those that are ready.
func (r *Run) queue(i int32) {
	r.setState(i, Queued)
	r.ready = append(r.ready, i)
}

// finish ends a run. A failed batch that is to roll back begins to undo instead.
func (r *Run) finish() {
	h := &r.Header
	switch {
	case h.State == Cancelling:
		r.setRun(Cancelled)
	case h.State == Undoing:
		r.setRun(Failed)
		r.emitUndone()
	case h.RollBack && r.anyApplied():
		r.setRun(Undoing)
		r.enterUndo()
		r.emit(event.Event{Type: event.RollbackStarted, Status: "running", BatchID: h.ID, Name: h.Name, Rollback: h.ID,
			Total: r.appliedTasks()})
		r.advance()
		return
	case h.FailedBy != "" || h.Kind == Rollback && h.Counts.Failed > 0:
		r.setRun(Failed)
	case r.anyWithdrawn():
		r.setRun(Cancelled)
	case r.noteCancelled():
		r.setRun(Cancelled)
	default:
		h.Withdrawn, h.Error = false, "" // a refused step was found to be done already
		r.setRun(Succeeded)
	}
	h.CompletedAt = r.nowPointer()
	r.emitRun()
}

// end puts a task into a terminal state and queues the dependents that waited for it only.
func (r *Run) end(i int32, to State) {
	t := &r.Tasks[i]
	t.CompletedAt, t.RetryAt, t.Wait = r.nowPointer(), nil, 0
	switch to {
	case Succeeded:
		t.Progress, t.Error = 10_000, ""
		defer r.noteCheckpoint() // once it is counted
	case Failed:
		if t.Error == "" {
			t.Error = "failed without a reason"
		}
	}
	r.setState(i, to)
	r.change.Finished = append(r.change.Finished, i)
	r.unfinished--
	if k := t.firstApplied(); k >= 0 && r.Header.Kind != Rollback {
		r.markEffect(i, int32(k))
	}
	if !r.satisfied(i) {
		switch {
		case to == Failed:
			r.fail(i)
		case to == Cancelled && t.CancelID != "":
			r.cancelDependents(i)
		}
		return
	}
	for _, d := range r.dependents[i] {
		r.openDependencies[d]--
		if r.openDependencies[d] == 0 && r.Tasks[d].State == Waiting && r.Header.State == Running {
			r.queue(d)
		}
	}
}

// setState changes the state of a task, keeps the counts, and emits an event when the status on the
// wire changes.
func (r *Run) setState(i int32, to State) {
	t := &r.Tasks[i]
	from := t.State
	r.checkTransition(TaskMachine, t.ID, from, to)
	t.State = to
	r.markTask(i)
	switch {
	case holdsPlace(from) && !holdsPlace(to):
		r.busy--
	case !holdsPlace(from) && holdsPlace(to):
		r.busy++
	}
	if a, b := from.Status(), to.Status(); a != b {
		*r.Header.Counts.of(a)--
		*r.Header.Counts.of(b)++
		r.emitTask(t)
	}
}

// holdsPlace says whether a task in that state takes one of the places of parallel_limit.
func holdsPlace(s State) bool { return s == Running || s == Retrying || s == Cancelling }

func (r *Run) setRun(to State) {
	r.checkTransition(RunMachine, r.Header.ID, r.Header.State, to)
	r.Header.State = to
}

func (r *Run) setStep(p *StepState, to State) {
	if p.State == to {
		return
	}
	r.checkTransition(StepMachine, p.Step.Name, p.State, to)
	p.State = to
}

// checkTransition panics when the table of legal transitions has no edge between two states of m.
// name says whose states they are.
func (r *Run) checkTransition(m Machine, name string, from, to State) {
	if !Legal(m, from, to) {
		panic(fmt.Sprintf("dag: %s %s cannot go from %s to %s", m, name, from, to))
	}
	if r.onTransition != nil {
		r.onTransition(m, from, to)
	}
}
