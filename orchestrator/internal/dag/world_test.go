package dag_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// world plays engine, store and provider for one run: attempts in flight, what is stored, and which
// effects exist, by tag.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	run     *dag.Run
	nodes   []dag.Node
	now     dag.Now
	flying  map[string]dag.Launch
	stop    map[string]bool
	effects map[string]bool
	blurred map[string]bool // an attempt was abandoned: the effect may be there though the state says unclear
	walked  map[string]bool // transitions, as "machine from to"
	last    []dag.Task
	trouble float64 // share of attempts that go wrong
	blind   float64 // share of Finds that cannot tell
	crash   float64
	refused map[int32]bool // tasks that the submitter may do no more
	refuse  float64        // chance a turn that rights are taken away
	single  float64        // chance a turn that one task is cancelled
	resumed int            // tasks that waited for a person and are looked up again, above the limit
	undone  []string       // tags in the order they were undone
	shelf   shelf          // documents of effects
}

func newWorld(t *testing.T, rng *rand.Rand, d dag.Definition) *world {
	for i := range d.Nodes {
		d.Nodes[i].TaskID = fmt.Sprintf("task-%d", i)
	}
	w := &world{
		t: t, rng: rng, nodes: d.Nodes, now: began, flying: map[string]dag.Launch{}, stop: map[string]bool{},
		refused: map[int32]bool{}, effects: map[string]bool{}, blurred: map[string]bool{}, walked: map[string]bool{}, shelf: shelf{},
	}
	w.run = dag.New("run", d, dag.Grant{}, w.now)
	w.own(w.run)
	w.last = copyTasks(w.run.Tasks)
	return w
}

// own sets what a run is not stored with.
func (w *world) own(r *dag.Run) {
	r.Quota = 1 << 20
	r.OnTransition(func(m dag.Machine, from, to dag.State) { w.walked[fmt.Sprintf("%s %s %s", m, from, to)] = true })
	r.May = func(i int32, op *dag.Operation) string {
		if w.refused[i] {
			return "refused " + op.Type
		}
		return ""
	}
}

func copyTasks(tasks []dag.Task) []dag.Task {
	c := slices.Clone(tasks)
	for i := range c {
		c[i].Steps = slices.Clone(c[i].Steps)
	}
	return c
}

// apply is one turn of the engine: apply, check, act.
func (w *world) apply(c dag.Command) error {
	err := dag.Apply(w.run, c, w.now)
	w.check()
	w.store(w.run.Take())
	due := dag.Pending(w.run)
	for _, id := range due.Stop {
		w.stop[id] = true
	}
	for _, l := range due.Never {
		if _, known := w.flying[l.Attempt.ID]; !known {
			w.flying[l.Attempt.ID] = l
		}
	}
	for _, l := range due.Start {
		if _, known := w.flying[l.Attempt.ID]; !known {
			w.begins(l)
			w.flying[l.Attempt.ID] = l
		}
	}
	return err
}

// store keeps the effects that changed. A task that comes to stand gets an era, as from the engine.
func (w *world) store(c dag.Change) {
	for _, i := range c.Tasks {
		if t := &w.run.Tasks[i]; t.HasEffects() && t.Era == 0 {
			t.Era, t.AppliedRev = 1, 1
		}
	}
	for _, at := range c.Effects {
		e := w.run.Effect(at)
		w.shelf[e.ID] = e
	}
}

// begins checks the order rules when an attempt begins.
func (w *world) begins(l dag.Launch) {
	node := w.nodes[l.Task]
	index := map[string]int{}
	for i := range w.nodes {
		index[w.nodes[i].ID] = i
	}
	if l.Attempt.Kind == dag.Do && w.refused[l.Task] {
		w.t.Fatalf("%s of %s begins, which its submitter may not do", l.Attempt.Step.Name, node.ID)
	}
	switch l.Attempt.Kind {
	case dag.Resolve, dag.Do:
		for _, dep := range node.Dependencies {
			d := &w.run.Tasks[index[dep]]
			soft := w.nodes[index[dep]].OnFailure == dag.OnFailureContinue
			if d.State != dag.Succeeded && (d.State != dag.Failed || !soft) {
				w.t.Fatalf("%s of %s begins while %s is %s", l.Attempt.Kind, node.ID, dep, d.State)
			}
		}
	case dag.Undo:
		for i := range w.nodes {
			if !slices.Contains(w.nodes[i].Dependencies, node.ID) {
				continue
			}
			for _, p := range w.run.Tasks[i].Steps {
				if p.Applied && p.UndoError == "" {
					w.t.Fatalf("undo of %s begins while %s of its dependent %s stands", node.ID, p.Step.Name, w.nodes[i].ID)
				}
			}
		}
	}
}

// check holds what must be true after every commit.
func (w *world) check() {
	h := &w.run.Header
	var counts dag.Counts
	for i := range w.run.Tasks {
		t, was := &w.run.Tasks[i], &w.last[i]
		if was.State.Terminal() && t.State != was.State && t.State != dag.Undone {
			w.t.Fatalf("task %s went from %s to %s", t.ID, was.State, t.State)
		}
		if t.Progress < was.Progress {
			w.t.Fatalf("progress of %s fell", t.ID)
		}
		if (t.Progress == 10_000) != (t.Status() == dag.StatusCompleted) {
			w.t.Fatalf("task %s is %s with progress %d", t.ID, t.State, t.Progress)
		}
		if t.State.Terminal() != (t.CompletedAt != nil) || t.State == dag.Failed && t.Error == "" || t.Status() == dag.StatusCompleted &&
			t.Error != "" {
			w.t.Fatalf("task %s is %s: completed_at %v error %q", t.ID, t.State, t.CompletedAt, t.Error)
		}
		if t.StartedAt != nil && (t.StartedAt.Before(t.CreatedAt) || t.CompletedAt != nil && t.CompletedAt.Before(*t.StartedAt)) {
			w.t.Fatalf("times of %s are out of order", t.ID)
		}
		switch t.Status() {
		case dag.StatusPending:
			counts.Pending++
		case dag.StatusRunning:
			counts.Running++
		case dag.StatusCompleted:
			counts.Completed++
		case dag.StatusFailed:
			counts.Failed++
		default:
			counts.Cancelled++
		}
	}
	if counts != h.Counts {
		w.t.Fatalf("counts %+v, want %+v", h.Counts, counts)
	}
	if h.State != dag.Cancelling && w.run.Busy() > h.ParallelLimit+w.resumed {
		w.t.Fatalf("%d tasks hold a place of %d", w.run.Busy(), h.ParallelLimit)
	}
	w.last = copyTasks(w.run.Tasks)
}

// live drives the run until it ends. It is cancelled in turn cancelAt, in turn 0 before it starts,
// below 0 never.
func (w *world) live(cancelAt int) {
	if cancelAt != 0 {
		w.apply(dag.Start{})
	}
	for n := 0; !w.run.Done(); n++ {
		if n > 50_000 {
			w.t.Fatalf("not ended after %d turns: %s, %d in flight", n, w.run.Header.State, len(w.flying))
		}
		if n == cancelAt {
			_ = w.apply(dag.Cancel{ID: "c", By: "alice"})
			continue
		}
		if w.rng.Float64() < w.crash {
			w.restart()
			continue
		}
		refuse := w.refuse
		if w.halfHeld() {
			refuse = 0.5
		}
		if w.rng.Float64() < refuse {
			all := w.rng.IntN(2) == 0
			for i := range w.nodes {
				if all || w.rng.IntN(3) == 0 {
					w.refused[int32(i)] = true
				}
			}
		}
		if w.rng.Float64() < w.single {
			w.cancelOne()
		}
		due := dag.Pending(w.run)
		for _, l := range due.Start {
			w.flying[l.Attempt.ID] = l
		}
		if w.run.Done() {
			return
		}
		if len(w.flying) == 0 || due.At != 0 && w.rng.IntN(4) == 0 {
			if due.At == 0 {
				if w.attention() {
					continue
				}
				w.t.Fatalf("stuck in %s: nothing in flight and no timer", w.run.Header.State)
			}
			w.wait(due.At - w.now.Up)
			w.apply(dag.Tick{})
			continue
		}
		ids := slices.Sorted(maps.Keys(w.flying))
		id := ids[w.rng.IntN(len(ids))]
		l := w.flying[id]
		delete(w.flying, id)
		w.wait(time.Duration(w.rng.IntN(1000)) * time.Millisecond)
		w.apply(dag.Done{Ref: l.Ref, ID: id, Result: w.perform(l)})
	}
}

// cancelOne cancels any task. One that was held for a person takes a place meanwhile.
func (w *world) cancelOne() {
	i := w.rng.IntN(len(w.run.Tasks))
	if w.run.Tasks[i].State == dag.NeedsAttention {
		w.resumed++
	}
	_ = w.apply(dag.CancelTask{Task: int32(i), ID: fmt.Sprint("one", i), By: "carol"})
}

// halfHeld says whether a task waits with one step for a person and with another, which surely has
// no effect yet, for its next try. That is rare, and rarer still together with a refusal.
func (w *world) halfHeld() bool {
	for i := range w.run.Tasks {
		held, resting := false, false
		for _, p := range w.run.Tasks[i].Steps {
			held = held || p.State == dag.NeedsAttention
			resting = resting || p.State == dag.Retrying && p.Kind == dag.Do && !p.OutcomeUnknown
		}
		if held && resting {
			return true
		}
	}
	return false
}

// wait lets time pass. Now and then somebody sets the wall clock, by up to an hour in either
// direction.
func (w *world) wait(d time.Duration) {
	d = max(0, d)
	w.now.Wall, w.now.Up = w.now.Wall.Add(d), w.now.Up+d
	if w.rng.IntN(50) == 0 {
		w.now.Wall = w.now.Wall.Add(time.Duration(w.rng.Int64N(int64(2*time.Hour))) - time.Hour)
	}
}

// attention resolves tasks that wait for a person: the process is restarted, or the run cancelled.
func (w *world) attention() bool {
	for i := range w.run.Tasks {
		if w.run.Tasks[i].State == dag.NeedsAttention {
			if w.rng.IntN(2) == 0 || w.apply(dag.Cancel{ID: "person", By: "bob"}) != nil {
				w.restart()
			}
			return true
		}
	}
	return false
}

// restart forgets what is in memory: what was in flight may or may not take effect.
func (w *world) restart() {
	for _, id := range slices.Sorted(maps.Keys(w.flying)) {
		if w.rng.IntN(2) == 0 {
			w.perform(w.flying[id])
		}
	}
	if w.rng.IntN(2) == 0 { // an ordered stop
		w.apply(dag.Halt{})
	}
	clear(w.flying)
	clear(w.stop)
	w.now.Up = time.Duration(1 + w.rng.IntN(1000))
	w.run = w.reload()
	for i := range w.run.Tasks {
		if w.run.Tasks[i].State == dag.NeedsAttention {
			w.resumed++
		}
	}
	w.apply(dag.TakeOver{})
}

// reload makes the run from its stored form.
func (w *world) reload() *dag.Run {
	body, err := json.Marshal(w.run.Tasks)
	if err != nil {
		w.t.Fatal(err)
	}
	var tasks []dag.Task
	if err := json.Unmarshal(body, &tasks); err != nil {
		w.t.Fatal(err)
	}
	for i := range tasks { // which stands in the documents of effects
		for k := range tasks[i].Steps {
			tasks[i].Steps[k].Recorded = w.shelf[dag.EffectID(tasks[i].ID, k)].Recorded
		}
	}
	r := dag.Load(w.run.Header, w.nodes, tasks, w.now)
	w.own(r)
	return r
}
