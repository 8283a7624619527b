package dag

import (
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/naming"
)

// Effect is the stored document of what one step did to the world. While the effect stands, it
// holds all that its inverse needs, and what a restore needs to list the resources again;
// afterwards it records that the effect was undone. It stands apart from the task's document, so
// that tasks and definitions may be deleted and a rollback still works.
//
// An operation comes to stand as a whole, when it has ended. The first of its effects that still
// stands, the lead, carries the place of the operation in the order of all operations: Era and
// Since.
type Effect struct {
	Batch        bool      `json:"batch,omitempty"`     // its operation is one of a batch
	Era          uint64    `json:"era,omitempty"`       // of a lead: the group of operations that ended at about the same time
	ID           string    `json:"id"`                  // EffectID of its task and step
	Name         string    `json:"name"`                // of its task, at most maxEffectName bytes
	Dependencies []int     `json:"needs,omitempty"`     // numbers of the operations of its run that its own depends on
	DependsOnAll bool      `json:"needs_all,omitempty"` // its operation depends on more than maxNeeds: take it for all that ended before it
	Number       int       `json:"number"`              // of its operation in the definition of its run
	Of           int       `json:"of,omitempty"`        // of a lead: effects of the operation that stood when this was written
	Operation    string    `json:"operation,omitempty"` // id of its operation in its batch
	Progress     StepState `json:"progress"`            // of its step, and of undoing it
	Recorded     Recorded  `json:"recorded"`
	Rollback     string    `json:"rollback,omitempty"` // id of the rollback that was the last to try to undo it
	Run          string    `json:"run"`
	// Since is the commit since which the operation stands. 0 in a lead means that no later commit
	// has written the document, so that its own revision says it; other effects say it once they
	// are undone.
	Since uint64 `json:"since,omitempty"`
}

// Recorded is what a step left behind: Facts for its inverse, and the resources it made or took
// away.
type Recorded struct {
	At    time.Time         `json:"at"`
	Facts map[string]string `json:"facts,omitempty"`
	Made  []Resource        `json:"made,omitempty"`
}

// Bounds of an effect's document. With names of at most 64 bytes all of them together leave it
// below MaxEffect.
const (
	MaxEffect             = 1 << 10 // bytes; above that the engine leaves out Made, and only names of unusual length can exceed it then
	maxEffectName         = 128     // bytes
	maxEffectDependencies = 16
	maxUndoError          = 128 // bytes of an undo's error in an effect; the record of the failure has all of it
)

// EffectID returns the id of the effect of a step of a task.
func EffectID(taskID string, step int) string { return taskID + "." + strconv.Itoa(step) }

// Place returns the task and the number of the step that the effect is of.
func (e *Effect) TaskAndStep() (taskID string, step int) {
	taskID, number, _ := strings.Cut(e.ID, ".")
	step, _ = strconv.Atoi(number)
	return taskID, step
}

// DependsOn says whether the operation of e was built on that of o, of which it is known that it
// ended before.
func (e *Effect) DependsOn(o *Effect) bool {
	if e.Run != o.Run {
		return false
	}
	for _, n := range e.Dependencies {
		if n == o.Number {
			return true
		}
	}
	return e.DependsOnAll
}

// lead returns the first step that stands; -1 when none does.
func (t *Task) firstApplied() int {
	for k := range t.Steps {
		if t.Steps[k].Applied {
			return k
		}
	}
	return -1
}

// stand notes whether the effect of step k of task i stands, and marks the documents that say so.
func (r *Run) setApplied(i, k int32, stands bool) {
	t := &r.Tasks[i]
	before := t.firstApplied()
	t.Steps[k].Applied = stands
	r.markEffect(i, k)
	if now := t.firstApplied(); now != before && now >= 0 && r.effectsFinal(t) {
		r.markEffect(i, int32(now))
	}
}

// stood says whether the effects of a task count: its operation has ended.
func (r *Run) effectsFinal(t *Task) bool { return r.Header.Kind == Rollback || t.State.Terminal() }

// mark has the document of an effect written with the next commit.
func (r *Run) markEffect(i, k int32) {
	at := Ref{Task: i, Step: k}
	if r.marked == nil {
		r.marked = map[Ref]bool{}
	}
	if !r.marked[at] {
		r.marked[at] = true
		r.change.Effects = append(r.change.Effects, at)
	}
}

// Effect returns the effect of a step as it is to be stored.
func (r *Run) Effect(at Ref) Effect {
	t := &r.Tasks[at.Task]
	p := &t.Steps[at.Step]
	e := Effect{
		Batch: t.Batch, ID: EffectID(t.ID, int(at.Step)), Name: naming.Clip(t.Name, maxEffectName), Number: t.Number, Operation: t.Operation,
		Progress: p.forEffect(), Recorded: p.Recorded, Run: t.Run,
	}
	e.Dependencies, e.DependsOnAll = r.effectDependencies(at.Task)
	if r.Header.Kind == Rollback {
		e.Rollback = r.Header.ID
	}
	switch {
	case !p.Applied:
		e.Since = t.AppliedRev
	case r.effectsFinal(t) && t.firstApplied() == int(at.Step):
		e.Era, e.Of, e.Since = t.Era, t.Effects(), t.AppliedRev
	}
	return e
}

// needs returns what task i depends on, as an effect says it.
func (r *Run) effectDependencies(i int32) (numbers []int, all bool) {
	if r.Header.Kind == Rollback {
		e := &r.undoOperations[i].Effects[0]
		return e.Dependencies, e.DependsOnAll
	}
	if len(r.deps[i]) > maxEffectDependencies {
		return nil, true
	}
	for _, d := range r.deps[i] {
		numbers = append(numbers, int(d))
	}
	return numbers, false
}

// Effects returns how many steps of the task stand.
func (t *Task) Effects() (n int) {
	for k := range t.Steps {
		if t.Steps[k].Applied {
			n++
		}
	}
	return n
}

// kept returns what an effect's document keeps of its step.
func (p *StepState) forEffect() StepState {
	return StepState{
		Attempt: p.Attempt, Finds: p.Finds, Halted: p.Halted, Kills: p.Kills, Kind: p.Kind, RetryAt: p.RetryAt, Seq: p.Seq, Applied: p.Applied,
		State: p.State, Step: p.Step, Tries: p.Tries, UndoError: naming.Clip(p.UndoError, maxUndoError), Wait: p.Wait,
	}
}
