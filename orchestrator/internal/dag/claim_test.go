package dag_test

import (
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// TestApply_aRefusalThatTookEffectIsFoundByOneFind lets a provider refuse a create that it has
// carried out. The server was in no inventory, and no rollback removed it.
func TestApply_aRefusalThatTookEffectIsFoundByOneFind(t *testing.T) {
	t.Parallel()
	for _, refusal := range []dag.Class{dag.Permanent, dag.Auth, dag.ConflictClass} {
		h := hand(t, two())
		h.next(dag.Do, refusal)
		h.next(dag.Find, dag.OK) // it is there
		if h.run.Header.State != dag.Undoing {
			t.Errorf("%s: the run is %s, want what the refused step did undone", refusal, h.run.Header.State)
			continue
		}
		h.next(dag.Undo, dag.OK)
		if task := h.run.Tasks[0]; h.run.Header.State != dag.Failed || task.HasEffects() || task.Error != string(refusal) {
			t.Errorf("%s: ended %s, task %+v", refusal, h.run.Header.State, task)
		}
	}
	// A refusal is believed when the one Find says nothing or knows nothing: an account that is
	// closed answers no Find either.
	for _, answer := range []dag.Class{dag.NotFoundClass, dag.Auth, dag.Transient, dag.UnknownOutcome} {
		h := hand(t, two())
		h.next(dag.Do, dag.Auth)
		h.next(dag.Find, answer)
		if task := h.run.Tasks[0]; h.run.Header.State != dag.Failed || task.HasEffects() || task.Attention != "" ||
			task.Error != string(dag.Auth) {
			t.Errorf("found %s: ended %s, task %+v", answer, h.run.Header.State, task)
		}
	}
}

// TestAtWork follows a step from its first attempt to its end.
func TestAtWork(t *testing.T) {
	t.Parallel()
	h := hand(t, two())
	at := func(what string, want bool) {
		t.Helper()
		ref := dag.Ref{Task: 0, Step: 0}
		if got := dag.AtWork(h.run, ref, h.run.Tasks[0].ID); got != want {
			t.Errorf("%s: at work %v, want %v (%+v)", what, got, want, h.run.Tasks[0].Steps)
		}
		if dag.AtWork(h.run, ref, "another") || dag.AtWork(h.run, dag.Ref{Task: 9}, h.run.Tasks[0].ID) {
			t.Errorf("%s: what is not there is at work", what)
		}
	}
	sleep := func() { h.wait(time.Hour); h.apply(dag.Tick{}) }
	h.resolve(dag.Step{Action: "server.create", Name: "web"})
	at("in flight", true)
	h.next(dag.Do, dag.Throttled)
	at("resting after a refusal", false)
	sleep()
	h.next(dag.Do, dag.Transient)
	at("resting in doubt", true)
	sleep()
	h.next(dag.Do, dag.UnknownOutcome)
	at("looked up", true)
	h.next(dag.Find, dag.OK)
	at("done", false)
	h.next(dag.Do, dag.Permanent)
	h.next(dag.Find, dag.NotFoundClass)
	at("being undone", true)
	h.next(dag.Undo, dag.Transient)
	at("between two undos", true)
	sleep()
	h.next(dag.Undo, dag.OK)
	at("undone", false)
}
