package dag_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// one is a batch of one operation with one try.
func one() dag.Definition {
	return dag.Definition{Kind: dag.Batch, Name: "b", RollbackEnabled: true, Policy: dag.Policy{MaxAttempts: 1}, Nodes: []dag.Node{op("a")}}
}

// restart ends the process, in order or not, and takes the run over in a new one, from its stored
// form.
func (h *byHand) restart(ordered bool) {
	h.t.Helper()
	if ordered {
		h.apply(dag.Halt{})
	}
	h.reload()
	h.apply(dag.TakeOver{})
}

// reload makes the run from its stored form in a process that begins now.
func (h *byHand) reload() {
	h.t.Helper()
	body, err := json.Marshal(h.run.Tasks)
	if err != nil {
		h.t.Fatal(err)
	}
	var tasks []dag.Task
	if err := json.Unmarshal(body, &tasks); err != nil {
		h.t.Fatal(err)
	}
	h.now.Up = time.Second
	h.run = dag.Load(h.run.Header, h.nodes, tasks, h.now)
	h.run.Quota = 100
}

// due checks that one attempt of that kind is due.
func (h *byHand) due(kind dag.AttemptKind) {
	h.t.Helper()
	if due := dag.Pending(h.run); len(due.Start) != 1 || due.Start[0].Attempt.Kind != kind {
		h.t.Fatalf("due %+v, want one %s", due.Start, kind)
	}
}

// resolve answers the attempt to resolve that is due.
func (h *byHand) resolve(steps ...dag.Step) {
	h.t.Helper()
	h.due(dag.Resolve)
	h.reload()
	l := dag.Pending(h.run).Start[0]
	h.apply(dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: dag.Result{Class: dag.OK, Steps: steps}})
}

func TestHalt_aPlannedStopUsesUpNoAttempt(t *testing.T) {
	t.Parallel()
	h := hand(t, one())
	for range 50 {
		h.restart(true) // while it resolves
	}
	h.resolve(dag.Step{Action: "server.create", Name: "web"})
	for range 100 {
		h.restart(true) // while it is at work, and in every second round again while it is looked up
		h.due(dag.Find)
		h.reload()
		h.restart(true)
		h.next(dag.Find, dag.NotFoundClass)
	}
	h.next(dag.Do, dag.OK)
	if task := h.run.Tasks[0]; h.run.Header.State != dag.Succeeded || task.Steps[0].Tries != 1 || task.Steps[0].Kills != 0 {
		t.Errorf("ended %s, task %+v", h.run.Header.State, task)
	}
}

// TestTakeOver_keepsTheNoteOnAStepInDoubt restarts while one step of a task is held for a person
// and another has failed without anybody knowing whether it took effect.
func TestTakeOver_keepsTheNoteOnAStepInDoubt(t *testing.T) {
	t.Parallel()
	h := hand(t, one())
	h.resolve(dag.Step{Action: "server.create", Name: "web"}, dag.Step{Action: "server.create", Name: "db"})
	answer := func(step int, class dag.Class) {
		p := h.run.Tasks[0].Steps[step]
		h.apply(dag.Done{Ref: dag.Ref{Step: int32(step)}, ID: p.Attempt, Result: dag.Result{Class: class}})
	}
	answer(1, dag.UnknownOutcome)
	answer(1, dag.UnknownOutcome) // the Find of db: held
	answer(0, dag.TimedOut)
	answer(0, dag.UnknownOutcome) // the Find of web: failed, and in doubt
	h.restart(true)
	answer(1, dag.OK)
	if task := h.run.Tasks[0]; h.run.Header.State != dag.Undoing || !strings.HasPrefix(task.Attention, "web: ") {
		t.Errorf("run %s, task %s, attention %q", h.run.Header.State, task.State, task.Attention)
	}
}

const died = "its orchestrator died 20 times while this ran"

func TestTakeOver_whatKillsItsOrchestratorFailsAfter20(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{1, 3, 100} {
		d := one()
		d.Policy.MaxAttempts = attempts
		h := hand(t, d)
		h.resolve(dag.Step{Action: "server.create", Name: "web"})
		begun := 1
		for ; ; begun++ {
			h.restart(false)
			h.next(dag.Find, dag.NotFoundClass)
			if h.run.Done() {
				break
			}
			if begun == 10 {
				h.restart(true) // counts for nothing
				h.next(dag.Find, dag.NotFoundClass)
			}
		}
		if task := h.run.Tasks[0]; begun != 20 || h.run.Header.State != dag.Failed || task.Error != died || task.HasEffects() {
			t.Errorf("%d attempts: begun %d times, ended %s, task %+v", attempts, begun, h.run.Header.State, task)
		}
	}
}

func TestTakeOver_killsCountAnewWhenAnAttemptEndsByItself(t *testing.T) {
	t.Parallel()
	d := one()
	d.Policy.MaxAttempts = 5
	h := hand(t, d)
	h.resolve(dag.Step{Action: "server.create", Name: "web"})
	for range 4 {
		for range 19 {
			h.restart(false)
			h.next(dag.Find, dag.NotFoundClass)
		}
		h.next(dag.Do, dag.Transient)
		h.wait(dag.Pending(h.run).At - h.now.Up)
		h.apply(dag.Tick{})
	}
	h.next(dag.Do, dag.OK)
	if h.run.Header.State != dag.Succeeded {
		t.Errorf("ended %s, task %+v", h.run.Header.State, h.run.Tasks[0])
	}
}

// TestTakeOver_everyKindOfTryIsBounded kills the orchestrator in the middle of each other kind of
// attempt.
func TestTakeOver_everyKindOfTryIsBounded(t *testing.T) {
	t.Parallel()
	t.Run("resolve", func(t *testing.T) {
		t.Parallel()
		h := hand(t, one())
		for n := range 20 {
			if h.run.Done() {
				t.Fatalf("over after %d kills", n)
			}
			h.restart(false)
		}
		if h.run.Header.State != dag.Failed || h.run.Tasks[0].Error != died {
			t.Errorf("ended %s, task %+v", h.run.Header.State, h.run.Tasks[0])
		}
	})
	t.Run("check", func(t *testing.T) {
		t.Parallel()
		h := hand(t, one())
		h.resolve(dag.Step{Action: "check", Name: "web"})
		for n := range 20 {
			if h.run.Done() {
				t.Fatalf("over after %d kills", n)
			}
			h.due(dag.Do)
			h.reload()
			h.restart(false)
		}
		if h.run.Header.State != dag.Failed || h.run.Tasks[0].Error != died {
			t.Errorf("ended %s, task %+v", h.run.Header.State, h.run.Tasks[0])
		}
	})
	t.Run("find", func(t *testing.T) {
		t.Parallel()
		h := hand(t, one())
		h.resolve(dag.Step{Action: "server.create", Name: "web"})
		for range 20 {
			h.restart(false)
		}
		task := h.run.Tasks[0]
		if task.State != dag.NeedsAttention || !strings.Contains(task.Attention, died) {
			t.Fatalf("task %+v", task)
		}
		h.restart(false) // somebody has seen to it, and lets it be looked up again
		h.next(dag.Find, dag.OK)
		if h.run.Header.State != dag.Succeeded {
			t.Errorf("ended %s", h.run.Header.State)
		}
	})
	t.Run("undo", func(t *testing.T) {
		t.Parallel()
		h := hand(t, two())
		h.next(dag.Do, dag.OK)
		h.next(dag.Do, dag.Permanent)
		h.next(dag.Find, dag.NotFoundClass)
		for n := range 20 {
			if h.run.Done() {
				t.Fatalf("over after %d kills", n)
			}
			h.due(dag.Undo)
			h.reload()
			h.restart(false)
			h.next(dag.Find, dag.OK)
		}
		if task := h.run.Tasks[0]; h.run.Header.State != dag.Failed || !task.HasEffects() || !strings.Contains(task.Attention, died) {
			t.Errorf("ended %s, task %+v", h.run.Header.State, task)
		}
	})
}

// TestClock_aStepNeitherFailsNorStallsNorRepeats sets the wall clock while a run waits, works and
// is told to stop, in the same process and between two.
func TestClock_aStepNeitherFailsNorStallsNorRepeats(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{-time.Hour, -time.Second, time.Second, time.Hour} {
		for _, process := range []string{"the same process", "a stop before the step", "a kill after the step"} {
			t.Run(fmt.Sprint(step, " ", process), func(t *testing.T) {
				t.Parallel()
				d := one()
				d.Policy = dag.Policy{MaxAttempts: 3, InitialDelay: 10_000, Timeout: 600_000}
				h := hand(t, d)
				h.resolve(dag.Step{Action: "server.create", Name: "web"})
				change := func() { // the clock steps, and perhaps the process ends
					if process == "a stop before the step" {
						h.apply(dag.Halt{})
					}
					h.now.Wall = h.now.Wall.Add(step)
					if process != "the same process" {
						h.reload()
						h.apply(dag.TakeOver{})
					}
					h.apply(dag.Tick{})
				}

				h.wait(5 * time.Second)
				change() // after 5 s of work within 10 min
				if h.run.Tasks[0].State != dag.Running {
					t.Fatalf("a step of the clock made it %s: %s", h.run.Tasks[0].State, h.run.Tasks[0].Error)
				}
				if process != "the same process" {
					h.next(dag.Find, dag.NotFoundClass)
				}
				h.next(dag.Do, dag.Transient)

				h.wait(time.Second)
				change() // in the middle of a wait of at most 10 s
				for waited := 0; h.run.Tasks[0].State == dag.Retrying; waited++ {
					if waited == 10 {
						t.Fatal("it waits longer than it was to")
					}
					h.wait(time.Second)
					h.apply(dag.Tick{})
				}
				h.next(dag.Do, dag.OK)
				if task := h.run.Tasks[0]; h.run.Header.State != dag.Succeeded || task.Steps[0].Tries != 2 {
					t.Errorf("ended %s, task %+v", h.run.Header.State, task)
				}
			})
		}
	}
}

func TestClock_aStepLeavesGraceAndTimeoutAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		d := one()
		d.Policy.Timeout = 600_000
		h := hand(t, d)
		h.resolve(dag.Step{Action: "server.create", Name: "web"})
		h.wait(9 * time.Minute)
		h.now.Wall = h.now.Wall.Add(step)
		h.apply(dag.Tick{})
		h.wait(time.Minute)
		h.apply(dag.Tick{})
		if task := h.run.Tasks[0]; task.State != dag.Cancelling || !task.Expired {
			t.Fatalf("after its 10 minutes it is %s", task.State)
		}
		h.now.Wall = h.now.Wall.Add(step)
		h.wait(9 * time.Second)
		h.apply(dag.Tick{})
		if h.run.Tasks[0].State != dag.Cancelling {
			t.Fatalf("before the end of its grace time it is %s", h.run.Tasks[0].State)
		}
		h.wait(time.Second)
		h.apply(dag.Tick{})
		if task := h.run.Tasks[0]; task.State != dag.Failed || !strings.HasPrefix(task.Error, "timeout: not done within 10m0s") {
			t.Errorf("%s %q", task.State, task.Error)
		}
	}
}

// TestTimeout_countsTheTimeThatAProcessWasThere restarts a run again and again: its operation gets
// its time, neither more for the restarts nor less for the time in between.
func TestTimeout_countsTheTimeThatAProcessWasThere(t *testing.T) {
	t.Parallel()
	d := one()
	d.Policy.Timeout = 600_000
	h := hand(t, d)
	h.resolve(dag.Step{Action: "server.create", Name: "web"})
	for n := range 9 {
		h.wait(time.Minute)
		h.apply(dag.Halt{})
		h.now.Wall = h.now.Wall.Add(time.Hour) // nobody there
		h.reload()
		h.apply(dag.TakeOver{})
		h.next(dag.Find, dag.NotFoundClass)
		if h.run.Tasks[0].State != dag.Running {
			t.Fatalf("after %d minutes of work: %s %s", n+1, h.run.Tasks[0].State, h.run.Tasks[0].Error)
		}
	}
	h.wait(59 * time.Second)
	h.apply(dag.Tick{})
	if h.run.Tasks[0].State != dag.Running {
		t.Fatal("out of time too early")
	}
	h.wait(time.Second)
	h.apply(dag.Tick{})
	if !h.run.Tasks[0].Expired {
		t.Error("out of time too late")
	}
}
