package dag_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/fault"
)

// by hand: a run of one step an operation, driven attempt by attempt.
type byHand struct {
	t     *testing.T
	run   *dag.Run
	nodes []dag.Node
	now   dag.Now
}

// began is when runs by hand begin.
var began = dag.Now{Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Up: time.Hour}

// wait lets time pass, on both clocks.
func (h *byHand) wait(d time.Duration) { h.now.Wall, h.now.Up = h.now.Wall.Add(d), h.now.Up+d }

func hand(t *testing.T, d dag.Definition) *byHand {
	for i := range d.Nodes {
		d.Nodes[i].TaskID = "task-" + d.Nodes[i].ID
	}
	h := &byHand{t: t, now: began, nodes: d.Nodes, run: dag.New("run", d, dag.Grant{}, began)}
	h.run.Quota = 100
	h.apply(dag.Start{})
	return h
}

func (h *byHand) apply(c dag.Command) {
	h.t.Helper()
	if err := dag.Apply(h.run, c, h.now); err != nil {
		h.t.Fatal(err)
	}
}

// next answers the attempt that is due; a Resolve always with one step.
func (h *byHand) next(kind dag.AttemptKind, class dag.Class) dag.Launch {
	h.t.Helper()
	for {
		due := dag.Pending(h.run)
		if len(due.Start) != 1 {
			h.t.Fatalf("%d attempts due, want one", len(due.Start))
		}
		l := due.Start[0]
		if l.Attempt.Kind == dag.Resolve {
			h.apply(dag.Done{Ref: l.Ref, ID: l.Attempt.ID,
				Result: dag.Result{Class: dag.OK, Steps: []dag.Step{{Action: "server.create", Name: "web"}}}})
			continue
		}
		if l.Attempt.Kind != kind {
			h.t.Fatalf("a %s is due, want %s", l.Attempt.Kind, kind)
		}
		h.apply(dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: dag.Result{Class: class, Error: string(class)}})
		return l
	}
}

func two() dag.Definition {
	return dag.Definition{Kind: dag.Batch, Name: "b", RollbackEnabled: true, Nodes: []dag.Node{op("a"), op("b", "a")}}
}

func TestApply_cancelWhileRollingBack(t *testing.T) {
	t.Parallel()
	h := hand(t, two())
	h.next(dag.Do, dag.OK)
	h.next(dag.Do, dag.Permanent)
	h.next(dag.Find, dag.NotFoundClass)
	if h.run.Header.State != dag.Undoing || h.run.Header.Status() != dag.StatusRunning {
		t.Fatalf("state %s", h.run.Header.State)
	}
	err := dag.Apply(h.run, dag.Cancel{ID: "1", By: "alice"}, h.now)
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "rolled back") {
		t.Errorf("cancel: %v", err)
	}
	h.next(dag.Undo, dag.OK)
	if h.run.Header.State != dag.Failed || h.run.Tasks[0].State != dag.Undone || h.run.Tasks[0].Status() != dag.StatusCompleted {
		t.Errorf("ended %s, a is %s", h.run.Header.State, h.run.Tasks[0].State)
	}
}

func TestApply_cancelIsRepeatableByItsID(t *testing.T) {
	t.Parallel()
	h := hand(t, two())
	c := dag.Cancel{ID: "1", By: "alice"}
	h.apply(c)
	h.apply(c)
	if err := dag.Apply(h.run, dag.Cancel{ID: "2"}, h.now); !fault.Is(err, fault.Conflict) {
		t.Errorf("another cancel: %v", err)
	}
}

func TestApply_lateResultChangesNothing(t *testing.T) {
	t.Parallel()
	h := hand(t, two())
	l := h.next(dag.Do, dag.OK)
	h.run.Take()
	h.apply(dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: dag.Result{Class: dag.Permanent, Error: "late"}})
	if c := h.run.Take(); !c.Empty() {
		t.Errorf("a late result changed %+v", c)
	}
}

// TestRun_whatItReturnedIsNeverOverwritten keeps everything that Take, Pending and Unresolved
// returned during a run, and compares it with copies when the run has ended.
func TestRun_whatItReturnedIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	h := hand(t, two())
	var got []any
	var want []string
	keep := func(v any) {
		got, want = append(got, v), append(want, fmt.Sprintf("%+v", v))
	}
	for !h.run.Done() {
		keep(dag.Unresolved(h.run))
		due := dag.Pending(h.run)
		keep(due)
		for _, l := range due.Start {
			result := dag.Result{Class: dag.OK}
			if l.Attempt.Kind == dag.Resolve {
				result.Steps = []dag.Step{{Action: "server.create", Name: "web"}}
			}
			h.apply(dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: result})
			keep(h.run.Take())
		}
	}
	for i := range got {
		if now := fmt.Sprintf("%+v", got[i]); now != want[i] {
			t.Errorf("what was\n%s\nbecame\n%s", want[i], now)
		}
	}
}

func TestApply_stopIgnoredPastItsGraceIsAbandonedAndFlagged(t *testing.T) {
	t.Parallel()
	h := hand(t, dag.Definition{Kind: dag.Batch, Name: "b", Nodes: []dag.Node{op("a")}})
	due := dag.Pending(h.run)
	h.apply(dag.Done{Ref: due.Start[0].Ref, ID: due.Start[0].Attempt.ID,
		Result: dag.Result{Class: dag.OK, Steps: []dag.Step{{Action: "server.create", Name: "web"}}}})
	dag.Pending(h.run)
	h.apply(dag.Cancel{ID: "1", By: "alice"})
	due = dag.Pending(h.run)
	if len(due.Stop) != 1 || due.At-h.now.Up != 10*time.Second {
		t.Fatalf("due %+v", due)
	}
	h.wait(due.At - h.now.Up)
	h.apply(dag.Tick{})
	task := h.run.Tasks[0]
	if h.run.Header.State != dag.Cancelled || task.State != dag.Cancelled || !task.HasEffects() || task.Attention == "" {
		t.Errorf("ended %s, task %+v", h.run.Header.State, task)
	}
}

// TestApply_effectOfAStepThatFailedAsTransientIsUndone makes a server whose creation reports a
// passing trouble until no tries are left.
func TestApply_effectOfAStepThatFailedAsTransientIsUndone(t *testing.T) {
	t.Parallel()
	h := hand(t, two())
	for n := range 3 {
		if n > 0 {
			h.wait(dag.Pending(h.run).At - h.now.Up)
			h.apply(dag.Tick{})
		}
		h.next(dag.Do, dag.Transient)
	}
	h.next(dag.Find, dag.OK)
	if task := h.run.Tasks[0]; task.State != dag.Failed || task.Error != "transient" || !task.HasEffects() {
		t.Fatalf("task %+v", task)
	}
	h.next(dag.Undo, dag.OK)
	if h.run.Header.State != dag.Failed || h.run.Tasks[0].HasEffects() {
		t.Errorf("ended %s, task %+v", h.run.Header.State, h.run.Tasks[0])
	}
}

// TestApply_cancelBetweenTwoTriesLooksWhetherTheFirstTookEffect cancels while a step rests after a
// passing trouble.
func TestApply_cancelBetweenTwoTriesLooksWhetherTheFirstTookEffect(t *testing.T) {
	t.Parallel()
	for found, stands := range map[dag.Class]bool{dag.OK: true, dag.NotFoundClass: false} {
		h := hand(t, two())
		h.next(dag.Do, dag.Transient)
		h.apply(dag.Cancel{ID: "1", By: "alice"})
		h.next(dag.Find, found)
		if task := h.run.Tasks[0]; h.run.Header.State != dag.Cancelled || task.HasEffects() != stands || task.Attention != "" {
			t.Errorf("%s: ended %s, task %+v", found, h.run.Header.State, task)
		}
	}
}

// TestApply_unclearOutcomeWaitsForAPerson is X05 where a look does not tell the outcome: the task
// waits and is not repeated.
func TestApply_unclearOutcomeWaitsForAPerson(t *testing.T) {
	t.Parallel()
	h := hand(t, two())
	h.next(dag.Do, dag.UnknownOutcome)
	for range 3 {
		h.next(dag.Find, dag.UnknownOutcome)
		if at := dag.Pending(h.run).At; at > h.now.Up {
			h.wait(at - h.now.Up)
			h.apply(dag.Tick{})
		}
	}
	if task := h.run.Tasks[0]; task.State != dag.NeedsAttention || task.Status() != dag.StatusRunning || task.Attention == "" {
		t.Fatalf("task %+v", task)
	}
	h.apply(dag.TakeOver{})
	h.next(dag.Find, dag.OK)
	if h.run.Tasks[0].State != dag.Succeeded {
		t.Errorf("after a second look it is %s", h.run.Tasks[0].State)
	}
}

func TestApply_timeNeverFalls(t *testing.T) {
	t.Parallel()
	h := hand(t, two())
	h.next(dag.Do, dag.OK)
	h.now.Wall = h.now.Wall.Add(-time.Hour)
	h.next(dag.Do, dag.OK)
	for _, task := range h.run.Tasks {
		if task.CompletedAt.Before(*task.StartedAt) || task.StartedAt.Before(task.CreatedAt) {
			t.Errorf("times of %s fall: %v %v %v", task.ID, task.CreatedAt, task.StartedAt, task.CompletedAt)
		}
	}
}

func TestApply_continueLetsSoftDependentsRun(t *testing.T) {
	t.Parallel()
	d := two()
	d.Nodes[0].OnFailure = dag.OnFailureContinue
	h := hand(t, d)
	h.next(dag.Do, dag.Permanent)
	h.next(dag.Find, dag.NotFoundClass)
	h.next(dag.Do, dag.OK)
	if h.run.Header.State != dag.Succeeded || h.run.Header.Counts.Failed != 1 {
		t.Errorf("ended %s %+v", h.run.Header.State, h.run.Header.Counts)
	}
}

func BenchmarkApply_chain(b *testing.B) {
	nodes := []dag.Node{op("n0")}
	for i := 1; i < 1000; i++ {
		nodes = append(nodes, op("n"+string(rune('a'+i%26))+strings.Repeat("x", i/26), nodes[i-1].ID))
	}
	d := dag.Definition{Kind: dag.Batch, Name: "b", Nodes: nodes}
	for i := range d.Nodes {
		d.Nodes[i].TaskID = d.Nodes[i].ID
	}
	now := began
	for b.Loop() {
		r := dag.New("run", d, dag.Grant{}, now)
		r.Quota = 10
		_ = dag.Apply(r, dag.Start{}, now)
		for !r.Done() {
			for _, l := range dag.Pending(r).Start {
				res := dag.Result{Class: dag.OK}
				if l.Attempt.Kind == dag.Resolve {
					res.Steps = []dag.Step{{Action: "server.create", Name: "web"}}
				}
				_ = dag.Apply(r, dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: res}, now)
			}
			r.Take()
		}
	}
}

// TestApply_hugeResultsFitIntoTheStore lets a provider write far too much on 256 steps: the
// document stays below the store's limit, and nothing is lost silently.
func TestApply_hugeResultsFitIntoTheStore(t *testing.T) {
	t.Parallel()
	h := hand(t, dag.Definition{Kind: dag.Batch, Name: "b", StepLimit: 256, Nodes: []dag.Node{op("a")}})
	steps := make([]dag.Step, dag.MaxSteps)
	for k := range steps {
		steps[k] = dag.Step{Action: "server.create", Name: strings.Repeat("n", 100) + string(rune('a'+k%26)) + strings.Repeat("x", k),
			Params: map[string]string{"p": strings.Repeat("v", 500)}}
	}
	l := dag.Pending(h.run).Start[0]
	h.apply(dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: dag.Result{Class: dag.OK, Steps: steps}})
	huge := dag.Result{Class: dag.OK, Output: strings.Repeat("o\n", 50_000), Facts: map[string]string{"f": strings.Repeat("f", 100_000)}}
	for _, l := range dag.Pending(h.run).Start {
		h.apply(dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: huge})
	}
	body, err := json.Marshal(h.run.Tasks[0])
	if err != nil || len(body) > 1<<20 || h.run.Header.State != dag.Succeeded || h.run.Tasks[0].Attention == "" {
		t.Errorf("%d bytes, %v, %s", len(body), err, h.run.Header.State)
	}
}
