package dag_test

import (
	"fmt"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// shelf keeps the documents of effects as a store would, and tells a rollback what stands.
type shelf map[string]dag.Effect

// undoOperation returns an operation as the store has it.
func (s shelf) undoOperation(task string, steps int) dag.UndoOperation {
	var u dag.UndoOperation
	for k := range steps {
		if e, ok := s[dag.EffectID(task, k)]; ok {
			u.Effects = append(u.Effects, e)
		}
	}
	return u
}

// TestRollback_inWavesIsLoadedFromEffectsAlone undoes 5,000 operations of one or two steps, each
// built on the one a hundred before it, in waves, and loads the run anew again and again from the
// documents of effects. Dependents are undone first, everything once, and no commit writes more
// than what is at work.
func TestRollback_inWavesIsLoadedFromEffectsAlone(t *testing.T) {
	t.Parallel()
	const many, size = 5000, 2000
	now := began
	stored := shelf{}
	name := func(i int) string { return fmt.Sprintf("task-%04d", i) }
	for i := range many {
		for k := range 1 + i%2 {
			e := dag.Effect{ID: dag.EffectID(name(i), k), Name: name(i), Number: i, Run: "batch",
				Progress: dag.StepState{Seq: 1, Applied: true, State: dag.Succeeded,
					Step: dag.Step{Action: "server.create", Name: fmt.Sprint(i, "-", k)}}}
			if i >= 100 {
				e.Dependencies = []int{i - 100}
			}
			if k == 0 {
				e.Era, e.Of, e.Since = uint64(1+i/1000), 1+i%2, uint64(10+i)
			}
			stored[e.ID] = e
		}
	}
	run := dag.NewRollback("run", dag.UndoPlan{Cut: 1}, dag.Policy{}, dag.Grant{}, "", now)
	left := many
	wave := func() dag.Wave {
		w := dag.Wave{Planned: many}
		for effects := 0; left > 0 && effects < size; left-- {
			u := stored.undoOperation(name(left-1), 2)
			w.Operations, effects = append(w.Operations, u), effects+len(u.Effects)
		}
		return w
	}
	var current []dag.UndoOperation
	undone := map[string]int{}
	turns, most, waves := 0, 0, 0
	for ; !run.Done(); turns++ {
		run.Quota = many
		if run.Idle() {
			w := wave()
			current, waves = w.Operations, waves+1
			if err := dag.Apply(run, w, now); err != nil {
				t.Fatal(err)
			}
		}
		for _, l := range dag.Pending(run).Start {
			number := run.Tasks[l.Task].Number
			if _, done := undone[name(number+100)]; !done && number+100 < many {
				t.Fatalf("%d is undone before %d, which depends on it", number, number+100)
			}
			if err := dag.Apply(run, dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: dag.Result{Class: dag.OK}}, now); err != nil {
				t.Fatal(err)
			}
		}
		c := run.Take()
		most = max(most, len(c.Effects))
		for _, at := range c.Effects {
			e := run.Effect(at)
			if stored[e.ID] = e; !e.Progress.Applied {
				task, _ := e.TaskAndStep()
				undone[task]++
			}
		}
		if turns%300 == 7 && !run.Done() {
			operations := make([]dag.UndoOperation, len(current))
			for i := range current {
				task, _ := current[i].Effects[0].TaskAndStep()
				operations[i] = stored.undoOperation(task, 2)
			}
			run = dag.LoadRollback(run.Header, operations, now)
		}
	}
	if h := run.Header; h.State != dag.Succeeded || h.Counts != (dag.Counts{Completed: many}) || most > 4*dag.DefaultParallel || waves < 4 {
		t.Errorf("ended %s after %d turns and %d waves, %+v, at most %d effects in a commit", h.State, turns, waves, h.Counts, most)
	}
	for i := range many {
		if undone[name(i)] != 1+i%2 {
			t.Fatalf("%d effects of %s were undone", undone[name(i)], name(i))
		}
	}
}

// TestRollback_leadsPassOn: when the first effect of an operation is undone and another cannot be,
// the operation still counts, at its place.
func TestRollback_leadsPassOn(t *testing.T) {
	t.Parallel()
	now := began
	var u dag.UndoOperation
	for k := range 3 {
		e := dag.Effect{ID: dag.EffectID("task", k), Run: "batch",
			Progress: dag.StepState{Applied: true, State: dag.Succeeded, UndoError: "of an earlier rollback",
				Step: dag.Step{Action: "server.create", Name: fmt.Sprint(k)}}}
		if k == 0 {
			e.Era, e.Of, e.Since = 7, 3, 70
		}
		u.Effects = append(u.Effects, e)
	}
	run := dag.NewRollback("run", dag.UndoPlan{Cut: 1}, dag.Policy{}, dag.Grant{}, "", now)
	run.Quota = 10
	_ = dag.Apply(run, dag.Wave{Operations: []dag.UndoOperation{u}, Planned: 1}, now)
	stored := shelf{}
	take := func() (c dag.Change) {
		c = run.Take()
		for _, at := range c.Effects {
			e := run.Effect(at)
			stored[e.ID] = e
		}
		return c
	}
	take()
	failures := 0
	for !run.Idle() {
		due := dag.Pending(run)
		if len(due.Start) == 0 {
			t.Fatal("nothing is due")
		}
		for _, l := range due.Start {
			class := dag.OK
			if l.Attempt.Step.Name == "1" {
				class = dag.Permanent
			}
			_ = dag.Apply(run, dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: dag.Result{Class: class, Error: "no"}}, now)
			failures += len(take().Failures)
		}
	}
	_ = dag.Apply(run, dag.Wave{}, now)
	for id, e := range stored {
		_, k := e.TaskAndStep()
		if e.Progress.Applied != (k == 1) || e.Rollback != "run" || (e.Era == 7) != (k == 1) || e.Since != 70 {
			t.Errorf("%s ends as %+v", id, e)
		}
	}
	if h := run.Header; failures != 1 || h.State != dag.Failed || h.Counts.Failed != 1 || len(stored) != 3 {
		t.Errorf("%d failures, %s, %+v", failures, h.State, h.Counts)
	}
}

// TestApply_undoThatIsKilledOftenerThanItHasTriesIsFinished ends the process in the middle of the
// same undo again and again; only what the provider refuses may use up its tries.
func TestApply_undoThatIsKilledOftenerThanItHasTriesIsFinished(t *testing.T) {
	t.Parallel()
	h := hand(t, two())
	h.next(dag.Do, dag.OK)
	h.next(dag.Do, dag.Permanent) // the second operation fails, so the first is undone
	h.next(dag.Find, dag.NotFoundClass)
	for range 2 * dag.DefaultPolicy().MaxAttempts {
		if due := dag.Pending(h.run); len(due.Start) != 1 || due.Start[0].Attempt.Kind != dag.Undo {
			t.Fatalf("due: %+v", due.Start)
		}
		h.apply(dag.TakeOver{})
		h.next(dag.Find, dag.OK) // the server still stands
	}
	h.next(dag.Undo, dag.OK)
	if task := h.run.Tasks[0]; h.run.Header.State != dag.Failed || task.HasEffects() || task.RolledBackAt == nil {
		t.Errorf("ended %s, task %+v", h.run.Header.State, task)
	}
}
