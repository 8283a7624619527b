package dag

import (
	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/shared/naming"
)

// enterUndo prepares a batch to undo its tasks, each after all that depend on it. finish calls it
// when a batch begins to roll back, derive when such a batch is loaded.
func (r *Run) enterUndo() {
	n := len(r.Tasks)
	r.settled, r.entered = make([]bool, n), make([]bool, n)
	r.ready, r.busy, r.unfinished = nil, 0, n
	for i := range r.Tasks {
		r.openDependencies[i] = int32(len(r.dependents[i]))
		if r.undoBegun(int32(i)) {
			r.entered[i] = true
			r.busy++
			r.revisit(int32(i))
		} else if r.openDependencies[i] == 0 {
			r.ready = append(r.ready, int32(i))
		}
	}
	slices.SortStableFunc(r.ready, func(a, b int32) int { return r.Tasks[b].CompletedAt.Compare(*r.Tasks[a].CompletedAt) })
}

// undoBegun says whether an undo of a step of task i is in flight or will be tried again.
func (r *Run) undoBegun(i int32) bool {
	for k := range r.Tasks[i].Steps {
		if p := &r.Tasks[i].Steps[k]; p.State == Undoing {
			return true
		}
	}
	return false
}

// undoDue says whether the undo of task i is still to be tried.
func (r *Run) undoDue(i int32) bool { return r.Tasks[i].undoLeft() && !r.kept(i) }

// kept says whether a batch that preserves what succeeded leaves task i out of its undo: it
// succeeded, or something that succeeded depends on it. All tasks have ended.
func (r *Run) kept(i int32) bool {
	if !r.Header.PreserveSuccessful {
		return false
	}
	if r.preserved == nil {
		r.preserved = make([]bool, len(r.Tasks))
		var queue []int32
		for k := range r.Tasks {
			if r.Tasks[k].State == Succeeded {
				queue = append(queue, int32(k))
			}
		}
		for ; len(queue) > 0; queue = queue[1:] {
			if k := queue[0]; !r.preserved[k] {
				r.preserved[k] = true
				queue = append(queue, r.deps[k]...)
			}
		}
	}
	return r.preserved[i]
}

func (r *Run) beginUndo(i int32) {
	if !r.undoDue(i) {
		r.endUndoOfTask(i)
		return
	}
	r.entered[i] = true
	r.busy++
	r.proceedUndo(i)
}

// proceedUndo begins the undo of the steps of task i that can begin, in reverse order of each lane.
// It ends the undo of the task when all steps were tried. A step that cannot be undone holds up no
// other.
func (r *Run) proceedUndo(i int32) {
	t := &r.Tasks[i]
	flying, resting := 0, 0
	busy := func(k int) bool {
		for j := k + 1; j < len(t.Steps); j++ {
			if p := &t.Steps[j]; p.Applied && p.UndoError == "" && p.Step.lane() == t.Steps[k].Step.lane() {
				return true
			}
		}
		return false
	}
	for k := len(t.Steps) - 1; k >= 0; k-- {
		p := &t.Steps[k]
		switch {
		case !p.Applied || p.UndoError != "":
		case p.Attempt != "":
			flying++
		case p.RetryAt != nil && p.retryDue > r.up:
			resting++
		case p.RetryAt != nil:
			r.beginAttempt(i, int32(k), Undo)
			flying++
		case flying < r.Header.StepLimit && !busy(k):
			p.Tries, p.Kills = 0, 0
			r.beginAttempt(i, int32(k), Undo)
			flying++
		default:
			resting++
		}
	}
	switch {
	case flying+resting > 0:
	case r.Header.Kind == Rollback:
		r.endUndoOperation(i)
	default:
		r.busy--
		r.endUndoOfTask(i)
	}
}

// handleUndo takes the result of an Undo. An effect that does not exist any more counts as undone.
func (r *Run) handleUndo(i, k int32, res Result) {
	p := &r.Tasks[i].Steps[k]
	policy := r.policies[i]
	switch res.Class {
	case OK, NotFoundClass:
		p.UndoError = ""
		if slices.ContainsFunc(res.Resources, func(c Resource) bool { return !c.Gone }) { // what was removed is back
			p.Recorded.At, p.Recorded.Made = r.now(), append(slices.Clip(res.Resources), p.lostWith(res.Resources)...)
		}
		r.setApplied(i, k, false)
		r.change.Resources = append(r.change.Resources, res.Resources...)
		r.setStep(p, Undone)
	case Transient, Throttled, Quota, TimedOut, Stopped, UnknownOutcome: // an undo may be made twice
		if p.Tries < policy.MaxAttempts {
			r.scheduleRetry(i, k, Undo, res)
			return
		}
		fallthrough
	default:
		p.UndoError = naming.Clip(reason(res), min(maxError, allErrors/len(r.Tasks[i].Steps)))
		r.markEffect(i, k)
		r.setStep(p, Succeeded)
	}
}

// lostWith returns the resources that a removal took away and that are not among those that its
// undo brought back: the task services of a server that was made again.
func (p *StepState) lostWith(back []Resource) (lost []Resource) {
	for _, c := range p.Recorded.Made {
		if c.Gone && !slices.ContainsFunc(back, func(b Resource) bool {
			return b.Provider == c.Provider && b.Kind == c.Kind && b.Name == c.Name
		}) {
			lost = append(lost, c)
		}
	}
	return lost
}

// handleUndoFind takes the result of a Find that asked whether the effect of an interrupted undo
// still exists.
func (r *Run) handleUndoFind(i, k int32, res Result) {
	p := &r.Tasks[i].Steps[k]
	switch {
	case res.Class == NotFoundClass:
		r.handleUndo(i, k, Result{Class: OK, Resources: res.Resources})
	case p.Kills >= maxKills:
		r.giveUpUndo(i, k)
	default:
		r.beginAttempt(i, k, Undo) // an undo may be made twice
	}
}

// undoFailure returns why a task could not be undone, "" when it could.
func (t *Task) undoFailure() string {
	var why []string
	for k := range t.Steps {
		if p := &t.Steps[k]; p.Applied {
			why = append(why, p.Step.Name+": "+p.UndoError)
		}
	}
	return naming.Clip(strings.Join(why, "; "), maxOutput)
}

// endUndoOfTask ends the undo of a task of this batch, so that those that it depended on can
// follow.
func (r *Run) endUndoOfTask(i int32) {
	r.settled[i] = true
	r.unfinished--
	t := &r.Tasks[i]
	if r.entered[i] {
		if r.noteUndone(t); t.RolledBackAt != nil {
			r.emitUndoneTask(t)
			if t.State == Succeeded {
				r.setState(i, Undone)
			}
		}
		r.markTask(i)
	}
	for _, d := range r.deps[i] {
		r.openDependencies[d]--
		if r.openDependencies[d] == 0 && !r.entered[d] {
			r.ready = append(r.ready, d)
		}
	}
}

// noteUndone writes into a task that all of it was undone, or why not.
func (r *Run) noteUndone(t *Task) {
	if why := t.undoFailure(); why != "" {
		t.Attention = "could not be undone: " + why
		return
	}
	t.Attention, t.RolledBackAt = "", r.nowPointer()
}

// emitUndoneTask emits that a task was undone.
func (r *Run) emitUndoneTask(t *Task) {
	batch := ""
	if t.Batch {
		batch = t.Run
	}
	r.emit(event.Event{
		Type: event.TaskRolledBack, Status: t.Status().Lower(), TaskID: t.ID, BatchID: batch, Name: t.Name, Operation: t.Operation,
		Rollback: r.Header.ID,
	})
}

func (r *Run) anyApplied() bool { return r.appliedTasks() > 0 }

// appliedTasks returns how many tasks have effects whose undo is still to be tried.
func (r *Run) appliedTasks() int {
	n := 0
	for i := range r.Tasks {
		if r.undoDue(int32(i)) {
			n++
		}
	}
	return n
}

// emitUndone emits the end of an automatic rollback.
func (r *Run) emitUndone() {
	h := &r.Header
	e := event.Event{Type: event.RollbackCompleted, Status: "completed", BatchID: h.ID, Name: h.Name, Rollback: h.ID}
	for i := range r.Tasks {
		switch t := &r.Tasks[i]; {
		case t.RolledBackAt != nil:
			e.Done++
		case t.HasEffects() && !r.kept(int32(i)):
			e.Failed++
		}
	}
	e.Total = e.Done + e.Failed
	if e.Failed > 0 {
		e.Status = "failed"
	}
	r.emit(e)
}
