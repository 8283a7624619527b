package dag

import (
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/shared/fault"
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
	case Adopt:
		r.adopt()
	case Done:
		r.handleResult(c)
	case Cancel:
		if err := r.cancel(c); err != nil {
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
		if r.openDependencies[i] == 0 {
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

// advance starts ready tasks as long as there are places, and ends the run when all tasks have
// ended.
func (r *Run) advance() {
	limit := min(r.Header.ParallelLimit, r.Quota)
	switch r.Header.State {
	case Running:
		for len(r.ready) > 0 && r.busy < limit {
			i := r.ready[0]
			r.ready = r.ready[1:]
			if r.allowed(i) {
				r.begin(i)
			}
		}
	case Undoing:
		for len(r.ready) > 0 && (r.busy < limit || !r.Tasks[r.ready[0]].undoLeft()) {
			i := r.ready[0]
			r.ready = r.ready[1:]
			r.beginUndo(i)
		}
	}
	if r.unfinished == 0 && !r.Done() && r.Header.State != Queued && r.Header.Kind != Rollback {
		r.finish()
	}
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
	default:
		h.Withdrawn, h.Error = false, "" // a refused step was found to be done already
		r.setRun(Succeeded)
	}
	h.CompletedAt = r.nowPointer()
	r.emitRun()
}

// cancel ends the tasks that have not started and tells the others to stop.
func (r *Run) cancel(c Cancel) error {
	h := &r.Header
	if h.CancelID != "" && h.CancelID == c.ID {
		return nil
	}
	what := string(h.Kind)
	switch h.State {
	case Queued, Running:
	case Undoing:
		return fault.New(fault.Conflict, what+".rolling_back",
			"This %s has failed and is being rolled back; it ends by itself and cannot be cancelled.", what)
	case Cancelling:
		return fault.New(fault.Conflict, what+".cancelling", "This %s is already being cancelled.", what)
	default:
		return fault.New(fault.Conflict, what+".ended", "This %s has already ended (%s) and cannot be cancelled.", what, h.Status())
	}
	if h.Kind == Rollback {
		return fault.New(fault.Conflict, "rollback.not_cancellable",
			"A rollback cannot be cancelled; it goes on until everything was tried.")
	}
	h.CancelID, h.CancelledBy = c.ID, c.By
	h.Error = c.Reason
	if h.Error == "" {
		h.Error = "cancelled by " + c.By
	}
	r.setRun(Cancelling)
	r.ready = nil
	for i := range r.Tasks {
		switch t := &r.Tasks[i]; t.State {
		case Waiting, Queued:
			t.Error = h.Error + " before it started"
			r.end(int32(i), Cancelled)
		case Running, Retrying, NeedsAttention:
			t.Error = h.Error
			r.cancelTask(int32(i))
		}
	}
	return nil
}

// fail fails the run because task i has failed: no further task starts, and each task that will not
// run gets an error that says why.
func (r *Run) fail(i int32) {
	h, t := &r.Header, &r.Tasks[i]
	if h.Kind == Batch {
		mode := r.nodes[i].OnFailure
		h.RollBack = h.RollBack || mode == OnFailureRollback || mode == "" && h.RollbackEnabled
	}
	if h.FailedBy != "" || h.State != Running {
		return
	}
	h.FailedBy = t.Operation
	if h.FailedBy == "" {
		h.FailedBy = t.Name
	}
	h.Error = t.Error
	if h.Kind == Batch {
		h.Error = fmt.Sprintf("operation %s failed: %s", h.FailedBy, t.Error)
	}
	r.ready = nil
	queue := append([]int32(nil), r.dependents[i]...)
	for len(queue) > 0 {
		d := queue[0]
		queue = queue[1:]
		if r.Tasks[d].State != Waiting { // none is Queued: that one would not depend on task i
			continue
		}
		r.Tasks[d].Error = fmt.Sprintf("not run because operation %s, which it depends on, failed", h.FailedBy)
		r.end(d, Skipped)
		queue = append(queue, r.dependents[d]...)
	}
	for d := range r.Tasks {
		if s := r.Tasks[d].State; s == Waiting || s == Queued {
			r.Tasks[d].Error = fmt.Sprintf("not started because operation %s failed", h.FailedBy)
			r.end(int32(d), Cancelled)
		}
	}
}

// end puts a task into a terminal state and queues the dependents that waited for it only.
func (r *Run) end(i int32, to State) {
	t := &r.Tasks[i]
	t.CompletedAt, t.RetryAt, t.Wait = r.nowPointer(), nil, 0
	switch to {
	case Succeeded:
		t.Progress, t.Error = 10_000, ""
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
		if to == Failed {
			r.fail(i)
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
