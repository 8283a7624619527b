package dag_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/shared/fault"
)

// refuse takes the right to the named operations away; all of them for none.
func (h *byHand) refuse(why string, ids ...string) {
	h.run.May = func(i int32, _ *dag.Operation) string {
		if len(ids) == 0 || slices.Contains(ids, h.nodes[i].ID) {
			return why
		}
		return ""
	}
}

func (h *byHand) states() string {
	var all []string
	for i := range h.run.Tasks {
		all = append(all, string(h.run.Tasks[i].State))
	}
	return strings.Join(all, " ")
}

// withdrawals returns what the change since the last Take says of them, and how many events.
func (h *byHand) withdrawals() (w []dag.Withdrawal, events int) {
	c := h.run.Take()
	for _, e := range c.Events {
		if e.Type == event.RightsWithdrawn {
			events++
		}
	}
	return slices.Clone(c.Withdrawn), events
}

const gone = "the account of alice was deleted"

func TestWithdraw_whatHasNotStartedEndsWhatRunsGoesOnNothingIsUndone(t *testing.T) {
	t.Parallel()
	d := dag.Definition{Kind: dag.Batch, Name: "b", RollbackEnabled: true, ParallelLimit: 1,
		Nodes: []dag.Node{op("a"), op("b"), op("c", "b"), op("d", "c"), op("e")}}
	h := hand(t, d)
	h.next(dag.Do, dag.OK)
	h.resolve(dag.Step{Action: "server.create", Name: "web"})
	h.run.Take()
	h.refuse(gone)
	if w, _ := h.withdrawals(); len(w) != 0 {
		t.Fatal("withdrawn though nothing was to start")
	}
	h.next(dag.Do, dag.OK) // b was at work, and its end lets c start
	if h.states() != "succeeded succeeded cancelled cancelled cancelled" || h.run.Header.State != dag.Cancelled ||
		h.run.Header.Error != gone {
		t.Fatalf("%s, run %s %q", h.states(), h.run.Header.State, h.run.Header.Error)
	}
	if w, events := h.withdrawals(); len(w) != 1 || w[0].Tasks != 3 || w[0].Reason != gone || events != 1 {
		t.Errorf("%d events, %+v", events, w)
	}
	for _, task := range h.run.Tasks[2:] {
		if !strings.Contains(task.Error, gone) || !task.Withdrawn {
			t.Errorf("%s: %q", task.Operation, task.Error)
		}
	}
	if !h.run.Tasks[0].HasEffects() || !h.run.Tasks[1].HasEffects() {
		t.Error("something was undone")
	}
}

func TestWithdraw_onlyWhatIsRefusedAndWhatDependsOnIt(t *testing.T) {
	t.Parallel()
	d := dag.Definition{Kind: dag.Batch, Name: "b", ParallelLimit: 1, Nodes: []dag.Node{op("a"), op("b"), op("c", "b"), op("d")}}
	h := hand(t, d)
	h.refuse("no", "b")
	h.next(dag.Do, dag.OK)
	h.next(dag.Do, dag.OK)
	if h.states() != "succeeded cancelled cancelled succeeded" || h.run.Header.State != dag.Cancelled {
		t.Fatalf("%s, run %s", h.states(), h.run.Header.State)
	}
}

// TestWithdraw_anOperationOfManyStepsEndsWithTheStepItIsAt lets one of three servers be at work.
func TestWithdraw_anOperationOfManyStepsEndsWithTheStepItIsAt(t *testing.T) {
	t.Parallel()
	d := dag.Definition{Kind: dag.Batch, Name: "b", RollbackEnabled: true, StepLimit: 1, Nodes: []dag.Node{op("a"), op("b", "a")}}
	h := hand(t, d)
	h.resolve(dag.Step{Action: "server.create", Name: "s1"}, dag.Step{Action: "server.create", Name: "s2"},
		dag.Step{Action: "server.create", Name: "s3"})
	h.next(dag.Do, dag.OK)
	h.refuse(gone)
	h.next(dag.Do, dag.OK)
	a := h.run.Tasks[0]
	if h.states() != "cancelled cancelled" || !a.Steps[0].Applied || !a.Steps[1].Applied || a.Steps[2].State != dag.Cancelled ||
		a.Error != gone {
		t.Fatalf("%s %+v", h.states(), a)
	}
	left, err := dag.Resume(h.run)
	if err != nil || len(left.Nodes) != 2 || !slices.Equal(left.Nodes[1].Dependencies, []string{"a"}) {
		t.Errorf("left %+v %v", left.Nodes, err)
	}
}

func TestWithdraw_betweenTwoTriesLooksWhetherTheFirstTookEffect(t *testing.T) {
	t.Parallel()
	for found, state := range map[dag.Class]dag.State{dag.OK: dag.Succeeded, dag.NotFoundClass: dag.Cancelled} {
		h := hand(t, dag.Definition{Kind: dag.Batch, Name: "b", RollbackEnabled: true, Nodes: []dag.Node{op("a")}})
		h.next(dag.Do, dag.Transient)
		h.refuse(gone)
		h.wait(dag.Pending(h.run).At - h.now.Up)
		h.apply(dag.Tick{})
		h.next(dag.Find, found)
		if task := h.run.Tasks[0]; task.State != state || task.HasEffects() != (found == dag.OK) || !h.run.Done() {
			t.Errorf("%s: %+v", found, task)
		}
	}
}

func TestWithdraw_aBatchWhoseRefusedStepWasDoneAlreadyIsNotCancelled(t *testing.T) {
	t.Parallel()
	h := hand(t, dag.Definition{Kind: dag.Batch, Name: "b", Nodes: []dag.Node{op("a")}})
	h.next(dag.Do, dag.Transient)
	h.refuse(gone)
	h.wait(dag.Pending(h.run).At - h.now.Up)
	h.apply(dag.Tick{})
	h.next(dag.Find, dag.OK)
	if r := h.run.Header; r.State != dag.Succeeded || r.Withdrawn || r.Error != "" {
		t.Errorf("task %s, run %s, withdrawn %v, error %q", h.states(), r.State, r.Withdrawn, r.Error)
	}
}

func TestWithdraw_whatAKillCutOffIsLookedUpAndNotBegunAgain(t *testing.T) {
	t.Parallel()
	for found, state := range map[dag.Class]dag.State{dag.OK: dag.Succeeded, dag.NotFoundClass: dag.Cancelled} {
		h := hand(t, dag.Definition{Kind: dag.Batch, Name: "b", RollbackEnabled: true, Nodes: []dag.Node{op("a")}})
		h.resolve(dag.Step{Action: "server.create", Name: "web"})
		h.restart(false)
		h.refuse(gone)
		h.next(dag.Find, found)
		if task := h.run.Tasks[0]; task.State != state || !h.run.Done() {
			t.Errorf("%s: %+v", found, task)
		}
	}
}

func TestWithdraw_anUndoIsNeverAskedAgain(t *testing.T) {
	t.Parallel()
	h := hand(t, two())
	h.next(dag.Do, dag.OK)
	h.resolve(dag.Step{Action: "server.create", Name: "web"})
	h.refuse(gone)
	h.next(dag.Do, dag.Permanent)
	h.next(dag.Find, dag.NotFoundClass)
	h.next(dag.Undo, dag.Transient)
	h.wait(dag.Pending(h.run).At - h.now.Up)
	h.apply(dag.Tick{})
	h.next(dag.Undo, dag.OK)
	if h.run.Header.State != dag.Failed || h.run.Tasks[0].State != dag.Undone {
		t.Errorf("ended %s: %s", h.run.Header.State, h.states())
	}
}

func TestResume_isExactlyWhatWasWithdrawn(t *testing.T) {
	t.Parallel()
	install := dag.Node{ID: "d", Dependencies: []string{"a", "c"},
		Operation: dag.Operation{Type: "taskserv_batch", Verb: "create", Taskservs: []string{"kubernetes"}}}
	d := dag.Definition{Kind: dag.Batch, Name: "b", ParallelLimit: 1, RollbackEnabled: true,
		Nodes: []dag.Node{op("a"), op("b"), op("c", "b"), install}}
	d.Nodes[2].Operation.Servers = []dag.ServerConfig{{Name: "cache"}}
	h := hand(t, d)
	if _, err := dag.Resume(h.run); !fault.Is(err, fault.Conflict) {
		t.Errorf("of a batch at work: %v", err)
	}
	h.next(dag.Do, dag.OK)
	h.resolve(dag.Step{Action: "server.create", Name: "db"})
	h.refuse(gone)
	h.next(dag.Do, dag.OK)
	left, err := dag.Resume(h.run)
	if err != nil || len(left.Nodes) != 2 || !left.RollbackEnabled || left.ParallelLimit != 1 || left.Name != "b" {
		t.Fatalf("%+v %v", left, err)
	}
	c, i := left.Nodes[0], left.Nodes[1]
	if c.ID != "c" || len(c.Dependencies) != 0 || i.ID != "d" || !slices.Equal(i.Dependencies, []string{"c"}) ||
		!slices.Equal(i.Operation.Targets, []string{"web", "cache"}) {
		t.Errorf("%+v\n%+v", c, i)
	}
	if len(h.nodes[3].Operation.Targets) != 0 {
		t.Error("the definition of the old batch was changed")
	}

	h = hand(t, two())
	h.apply(dag.Cancel{ID: "1", By: "bob"})
	if _, err := dag.Resume(h.run); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "nothing to adopt") {
		t.Errorf("of a batch that a person cancelled: %v", err)
	}
}

func TestResume_notOverWhatWasUndone(t *testing.T) {
	t.Parallel()
	d := dag.Definition{Kind: dag.Batch, Name: "b", RollbackEnabled: true, ParallelLimit: 2,
		Nodes: []dag.Node{op("a"), op("x"), op("b", "a")}}
	h := hand(t, d)
	for _, l := range dag.Pending(h.run).Start {
		h.apply(dag.Done{Ref: l.Ref, ID: l.Attempt.ID,
			Result: dag.Result{Class: dag.OK, Steps: []dag.Step{{Action: "server.create", Name: "web"}}}})
	}
	h.refuse(gone)
	due := dag.Pending(h.run).Start
	for n, l := range due { // a completes, b may not start, x fails and has the whole undone
		h.apply(dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: dag.Result{Class: []dag.Class{dag.OK, dag.Permanent}[n], Error: "no"}})
	}
	h.next(dag.Find, dag.NotFoundClass)
	h.next(dag.Undo, dag.OK)
	if h.states() != "undone failed cancelled" || h.run.Header.State != dag.Failed {
		t.Fatalf("%s, run %s", h.states(), h.run.Header.State)
	}
	if _, err := dag.Resume(h.run); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "undone") {
		t.Errorf("%v", err)
	}
}

// TestWithdraw_aWorkflowEndsWithTheStepItIsAt is a workflow of three servers, whose only task is
// the run.
func TestWithdraw_aWorkflowEndsWithTheStepItIsAt(t *testing.T) {
	t.Parallel()
	n := op("")
	h := hand(t, dag.Definition{Kind: dag.Workflow, Name: "create_servers", StepLimit: 1, Nodes: []dag.Node{n}})
	server := func(name string) dag.Step { return dag.Step{Action: "server.create", Name: name} }
	h.resolve(server("s1"), server("s2"), server("s3"))
	h.run.Take()
	h.refuse(gone)
	h.next(dag.Do, dag.OK)
	task := h.run.Tasks[0]
	if h.run.Header.State != dag.Cancelled || task.Error != gone || !task.HasEffects() || task.DoneSteps() != 1 {
		t.Fatalf("ended %s, task %+v", h.run.Header.State, task)
	}
	for _, e := range h.run.Take().Events {
		if e.Type == event.RightsWithdrawn && (e.TaskID != "run" || e.BatchID != "") {
			t.Errorf("%+v", e)
		}
	}
}
