package dag

// A rollback undoes operations in waves. A wave has those operations that ended last of all that
// are left, until they have WaveEffects effects. It is loaded from the documents of its effects,
// which also hold the progress of their undo, so a rollback has no upper size and goes on after a
// crash.

// WaveEffects is the number of effects at which a wave is full. Its last operation may exceed it.
const WaveEffects = 2000

// UndoPlan is the part of the header of a rollback that says what it undoes and how far it is.
type UndoPlan struct {
	Cut      uint64    `json:"cut"`                // everything since this commit is undone, unless Listed
	Era      uint64    `json:"era"`                // operations of earlier eras ended before Cut
	EraTo    uint64    `json:"era_to"`             // operations of this era and later ones ended after Cut
	Listed   bool      `json:"listed,omitempty"`   // the caller named the operations: Waves waves of them are stored
	Planned  int       `json:"planned"`            // number of operations to undo when the rollback began
	Recreate bool      `json:"recreate,omitempty"` // the undo of a deletion makes the server again, without its data
	Taken    *Position `json:"taken,omitempty"`    // the last operation of the current wave; nil before the first wave
	Wave     int       `json:"wave"`               // number of the current wave, from 1; 0 before the first
	Waves    int       `json:"waves,omitempty"`
}

// Position is the position of an operation in the order of all operations with effects. A rollback
// undoes later ones first.
type Position struct {
	Era   uint64 `json:"era"`
	Since uint64 `json:"since"`
	Task  string `json:"task"`
}

// Before says whether a rollback undoes the operation at t before the one at o.
func (t Position) Before(o Position) bool {
	switch {
	case t.Era != o.Era:
		return t.Era > o.Era
	case t.Since != o.Since:
		return t.Since > o.Since
	}
	return t.Task > o.Task
}

// UndoOperation is an operation that a rollback undoes: its effects, and the document of its task
// unless that was pruned.
type UndoOperation struct {
	Effects   []Effect
	Origin    *Task  // nil when it was pruned
	OriginRev uint64 // revision of that document
}

// Wave begins the next wave of a rollback, or ends the rollback when it has no operations.
// Operations stand in the order in which they are undone. Only the first wave sets Planned.
type Wave struct {
	Operations []UndoOperation
	Planned    int
}

func (Wave) command() {}

// NewRollback returns a rollback that waits for its first wave.
func NewRollback(id string, plan UndoPlan, p Policy, g Grant, checkpoint string, now Now) *Run {
	wall := stamp(now.Wall)
	return LoadRollback(Header{
		Checkpoint: checkpoint, CreatedAt: wall, Grant: g, ID: id, Kind: Rollback, Name: "rollback", ParallelLimit: DefaultParallel,
		Policy: p.Or(DefaultPolicy()), State: Queued, StepLimit: DefaultSteps, Undo: &plan, UpdatedAt: wall,
	}, nil, now)
}

// LoadRollback returns a rollback from what is stored: its header and the operations of its current
// wave.
func LoadRollback(h Header, operations []UndoOperation, now Now) *Run {
	tasks := make([]Task, len(operations))
	for i := range operations {
		tasks[i] = operations[i].task(&h)
	}
	r := newRun(h, make([]Node, len(tasks)), tasks, now)
	r.undoOperations = operations
	r.dirtyOrigins = make([]bool, len(operations))
	r.orderUndos()
	r.derive(now)
	return r
}

// task returns the operation as a task that proceedUndo drives. Steps without an effect are empty.
func (u *UndoOperation) task(h *Header) Task {
	t := Task{CreatedAt: h.CreatedAt, Resolved: true, State: Waiting, User: h.Grant.Sub}
	tried := false
	for i := range u.Effects {
		e := &u.Effects[i]
		id, k := e.TaskAndStep()
		t.Batch, t.ID, t.Name, t.Number, t.Operation, t.Run = e.Batch, id, e.Name, e.Number, e.Operation, e.Run
		if e.Era > 0 && e.Progress.Applied {
			t.Era, t.AppliedRev = e.Era, e.Since
		} else if t.AppliedRev == 0 {
			t.AppliedRev = e.Since
		}
		for len(t.Steps) <= k {
			t.Steps = append(t.Steps, StepState{})
		}
		p := &t.Steps[k]
		*p = e.Progress
		p.Recorded = e.Recorded
		if e.Rollback != h.ID { // tries of earlier rollbacks do not count
			p.UndoError, p.Tries, p.Finds, p.Kills = "", 0, 0, 0
			continue
		}
		tried = true
		if p.State == Undoing {
			t.State = Running
		}
	}
	if tried && t.State != Running && !t.undoLeft() {
		t.State = Succeeded
		if t.HasEffects() {
			t.State = Failed
		}
	}
	return t
}

// undoLeft says whether the task has an effect whose undo is still to be tried.
func (t *Task) undoLeft() bool {
	for k := range t.Steps {
		if p := &t.Steps[k]; p.Applied && p.UndoError == "" {
			return true
		}
	}
	return false
}

// orderUndos makes each operation of a wave wait for the undo of the operations that depend on it,
// and of those that worked on the same server later.
func (r *Run) orderUndos() {
	last := map[string]int32{}   // by server: the latest operation on it so far
	same := map[string][]int32{} // by run: its operations so far
	for i := range r.undoOperations {
		u, n := &r.undoOperations[i], int32(i)
		before := map[int32]bool{}
		if len(u.Effects) > 0 {
			for _, later := range same[u.Effects[0].Run] {
				if r.undoOperations[later].Effects[0].DependsOn(&u.Effects[0]) {
					before[later] = true
				}
			}
			same[u.Effects[0].Run] = append(same[u.Effects[0].Run], n)
		}
		made, used := r.Tasks[i].Servers()
		for _, server := range append(made, used...) {
			if j, ok := last[server]; ok && j != n {
				before[j] = true
			}
			last[server] = n
		}
		for j := range before {
			r.addDependency(n, j)
		}
	}
}

// Idle says whether a rollback waits for its next wave.
func (r *Run) Idle() bool {
	return r.Header.Kind == Rollback && r.unfinished == 0 && !r.Done()
}

// wave begins the next wave.
func (r *Run) wave(w Wave, now Now) {
	h := &r.Header
	if !r.Idle() {
		return
	}
	begins := h.State == Queued
	plan := *h.Undo // a copy, because copies of the header share it
	h.Undo = &plan
	if begins {
		h.StartedAt, plan.Planned = r.nowPointer(), w.Planned
		r.setRun(Running)
	}
	if n := len(w.Operations); n > 0 {
		plan.Wave, plan.Taken = plan.Wave+1, w.Operations[n-1].Position()
		h.Counts.Pending += n
		next := LoadRollback(*h, w.Operations, now)
		next.May, next.Quota, next.change, next.onTransition = r.May, r.Quota, r.change, r.onTransition
		*r = *next
	}
	if begins {
		r.emitRun()
	}
	if len(w.Operations) == 0 {
		r.finish()
	}
}

// Position returns the position of the operation.
func (u *UndoOperation) Position() *Position {
	t := &Position{}
	for i := range u.Effects {
		e := &u.Effects[i]
		t.Task, _ = e.TaskAndStep()
		if e.Era > 0 {
			t.Era, t.Since = e.Era, e.Since
		}
	}
	return t
}

// Origin returns the document of the task that operation i of a rollback undoes, and its revision.
func (r *Run) Origin(i int32) (*Task, uint64) {
	return r.undoOperations[i].Origin, r.undoOperations[i].OriginRev
}

// Failure is an operation that a rollback could not undo.
type Failure struct {
	Number int // index among the failures of the rollback
	Task   string
	Name   string
	Error  string
}

// endUndoOperation ends an operation of a rollback and updates the document of its task.
func (r *Run) endUndoOperation(i int32) {
	t, o := &r.Tasks[i], r.undoOperations[i].Origin
	why := t.undoFailure()
	if o != nil {
		for k := range t.Steps {
			if t.Steps[k].State == "" || k >= len(o.Steps) {
				continue
			}
			from, to := &t.Steps[k], &o.Steps[k]
			to.Applied, to.UndoError = from.Applied, from.UndoError
			if from.State == Undone && to.State == Succeeded {
				to.State = Undone
			}
		}
		o.Era, o.AppliedRev = t.Era, t.AppliedRev
		r.noteUndone(o)
		if o.RolledBackAt != nil && o.State == Succeeded {
			o.State = Undone
		}
		if !r.dirtyOrigins[i] {
			r.dirtyOrigins[i] = true
			r.change.Origins = append(r.change.Origins, i)
		}
	}
	if why != "" {
		t.Error = why
		r.change.Failures = append(r.change.Failures, Failure{Number: r.Header.Counts.Failed, Task: t.ID, Name: t.Name, Error: why})
		r.end(i, Failed)
		return
	}
	shown := t
	if o != nil {
		shown = o
	}
	r.emitUndoneTask(shown)
	r.end(i, Succeeded)
}
