package dag

import (
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/naming"
)

// Effect is the stored document of what one step did to the world. As long as the effect is
// applied, the document holds what its inverse needs. Afterwards it records that the effect was
// undone. It is not a part of the task's document, so a rollback works when tasks and definitions
// have been pruned.
//
// An operation counts as applied from its end on. Its lead is the first of its effects that is
// applied (Task.firstApplied). The document of the lead has the position of the operation: Era and
// Since.
type Effect struct {
	Batch        bool      `json:"batch,omitempty"`     // its operation is one of a batch
	Era          uint64    `json:"era,omitempty"`       // of a lead: number of the group of operations that ended at about the same time
	ID           string    `json:"id"`                  // EffectID of its task and step
	Name         string    `json:"name"`                // of its task, at most maxEffectName bytes
	Dependencies []int     `json:"needs,omitempty"`     // Number of the operations that its operation depends on
	DependsOnAll bool      `json:"needs_all,omitempty"` // for more than maxEffectDependencies: all that ended before it
	Number       int       `json:"number"`              // index of its operation in the definition of its run
	Of           int       `json:"of,omitempty"`        // of a lead: number of applied effects of the operation when this was written
	Operation    string    `json:"operation,omitempty"` // id of its operation in its batch
	Progress     StepState `json:"progress"`            // of the step and of its undo
	Recorded     Recorded  `json:"recorded"`
	Rollback     string    `json:"rollback,omitempty"` // id of the last rollback that tried to undo it
	Run          string    `json:"run"`
	// Since is the commit since which the operation is applied. 0 in a lead means the revision of
	// the document itself, because no later commit has written it. Other effects have it once they
	// are undone.
	Since uint64 `json:"since,omitempty"`
}

// Recorded is what a step left behind: the facts that its inverse needs, and the resources that it
// made or removed.
type Recorded struct {
	At    time.Time         `json:"at"`
	Facts map[string]string `json:"facts,omitempty"`
	Made  []Resource        `json:"made,omitempty"`
}

// Bounds of the document of an effect. With names of at most 64 bytes they keep it below MaxEffect.
const (
	MaxEffect             = 1 << 10 // bytes; the engine leaves out Made above that, so only unusually long names can exceed it
	maxEffectName         = 128     // bytes
	maxEffectDependencies = 16
	maxUndoError          = 128 // bytes of UndoError; the document of the Failure has all of it
)

// EffectID returns the id of the effect of a step of a task.
func EffectID(taskID string, step int) string { return taskID + "." + strconv.Itoa(step) }

// TaskAndStep returns the task id and the number of the step that e is the effect of.
func (e *Effect) TaskAndStep() (taskID string, step int) {
	taskID, number, _ := strings.Cut(e.ID, ".")
	step, _ = strconv.Atoi(number)
	return taskID, step
}

// DependsOn says whether the operation of e depends on that of o. The caller knows that o ended
// before e.
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

// firstApplied returns the first step whose effect is applied, -1 when there is none.
func (t *Task) firstApplied() int {
	for k := range t.Steps {
		if t.Steps[k].Applied {
			return k
		}
	}
	return -1
}

// setApplied notes whether the effect of step k of task i exists, and marks the effects whose
// documents change by that.
func (r *Run) setApplied(i, k int32, applied bool) {
	t := &r.Tasks[i]
	before := t.firstApplied()
	t.Steps[k].Applied = applied
	r.markEffect(i, k)
	if now := t.firstApplied(); now != before && now >= 0 && r.effectsFinal(t) {
		r.markEffect(i, int32(now))
	}
}

// effectsFinal says whether the operation of t has ended, from which on its effects count as
// applied.
func (r *Run) effectsFinal(t *Task) bool { return r.Header.Kind == Rollback || t.State.Terminal() }

// markEffect has the document of an effect written by the next commit.
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
		Batch: t.Batch, ID: EffectID(t.ID, int(at.Step)), Name: naming.Clip(t.Name, maxEffectName), Number: t.Number,
		Operation: t.Operation,
		Progress:  p.forEffect(), Recorded: p.Recorded, Run: t.Run,
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

// effectDependencies returns the dependencies of task i in the form of Effect: numbers of
// operations, or all when there are more than maxEffectDependencies.
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

// Effects returns how many steps of the task have an effect.
func (t *Task) Effects() (n int) {
	for k := range t.Steps {
		if t.Steps[k].Applied {
			n++
		}
	}
	return n
}

// forEffect returns the part of a step that the document of its effect keeps.
func (p *StepState) forEffect() StepState {
	return StepState{
		Attempt: p.Attempt, Finds: p.Finds, Halted: p.Halted, Kills: p.Kills, Kind: p.Kind, RetryAt: p.RetryAt, Seq: p.Seq,
		Applied: p.Applied,
		State:   p.State, Step: p.Step, Tries: p.Tries, UndoError: naming.Clip(p.UndoError, maxUndoError), Wait: p.Wait,
	}
}
