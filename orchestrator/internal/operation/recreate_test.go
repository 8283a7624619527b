package operation

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/pebblestore"
)

// TestRecreate_aDeletedServerIsMadeAgain undoes the deletion of a server that had a task service,
// without the flag and with it, twice as after a crash, and then what had come before: the task
// service is not there any more, and the server that was made again goes.
func TestRecreate_aDeletedServerIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := localBench(t)
	servers, services := batch()
	servers.Servers, services.Taskservs, services.Targets = servers.Servers[:1], []string{"os"}, []string{"web-01"}
	made, installed := b.perform("s", servers), b.perform("t", services)
	removal := servers
	removal.Verb = "delete"
	gone := b.perform("d", removal)[0]
	undo := func(recreate bool) dag.Result {
		a := dag.Attempt{ID: "undo", Tag: gone.tag, Kind: dag.Undo, TaskID: "d", Number: 1, Operation: &dag.Operation{}, Step: gone.step,
			Facts: gone.result.Facts, Recreate: recreate}
		defer b.Claim(a)() // as the engine does
		return b.Execute(t.Context(), a)
	}
	if res := undo(false); res.Class != dag.Permanent || !strings.Contains(res.Error, `"recreate": true`) {
		t.Errorf("without the flag: %+v", res)
	}
	if again, why := b.ForeseeUndo(gone.step, gone.result.Facts, false); again || !strings.Contains(why, "recreate") {
		t.Errorf("a preview without the flag: %v %q", again, why)
	}
	if again, why := b.ForeseeUndo(gone.step, gone.result.Facts, true); !again || why != "" {
		t.Errorf("a preview with the flag: %v %q", again, why)
	}
	for range 2 { // the result of the first is lost
		if res := undo(true); res.Class != dag.OK || len(res.Resources) != 1 {
			t.Fatalf("with the flag: %+v", res)
		}
	}
	b.ledger.take(undo(true).Resources)
	if got := b.ledger.names(); !slices.Equal(got, []string{"upcloud/server/web-01"}) {
		t.Errorf("the inventory is %v", got)
	}
	there, _, _ := b.Inventory.Resource(t.Context(), "upcloud", "server", "web-01")
	if was := made[0].result.Resources[0].Facts; there.Facts["plan"] != was["plan"] || there.Facts["zone"] != was["zone"] {
		t.Errorf("made again as %v, was %v", there.Facts, was)
	}
	if res := undo(true); res.Class != dag.OK { // another task has made it meanwhile, or the same
		t.Errorf("while it is there: %+v", res)
	}
	b.undoAll(services, installed)
	b.undoAll(servers, made)
	if list, err := b.Providers["upcloud"].List(t.Context()); err != nil || len(list) != 0 || len(b.ledger.names()) != 0 {
		t.Errorf("left: servers %v (%v), inventory %v", list, err, b.ledger.names())
	}
}

// TestRecreate_whatIsNotRecordedStays: a deletion from before its facts were recorded, and one of a
// server whose provider is not configured any more.
func TestRecreate_whatIsNotRecordedStays(t *testing.T) {
	t.Parallel()
	b := localBench(t)
	step := dag.Step{Action: deleteServer, Name: "web-01"}
	for _, c := range []struct {
		facts map[string]string
		why   string
	}{{nil, "not recorded"}, {map[string]string{"tag": "t", "provider": "gone"}, "provider gone is not in the configuration"}} {
		res := b.Execute(t.Context(), dag.Attempt{ID: "undo", Tag: "u", Kind: dag.Undo, Operation: &dag.Operation{}, Step: step,
			Facts: c.facts, Recreate: true})
		if res.Class != dag.Permanent || !strings.Contains(res.Error, c.why) {
			t.Errorf("%v: %+v", c.facts, res)
		}
	}
}

// TestEngine_rollbackMakesADeletedServerAgain deletes a server with a task service on it, over the
// embedded store: a rollback without the flag fails at it and names the flag, one with it makes the
// server again as the preview said, and a restore to then gives the inventory of then.
func TestEngine_rollbackMakesADeletedServerAgain(t *testing.T) {
	t.Parallel()
	b := localBench(t)
	db, err := pebblestore.Open(t.TempDir(), store.Schema{Service: "orchestrator", Kinds: run.Schema()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	e, ctx := drivenOver(t, b, db)
	do := func(nodes ...dag.Node) {
		t.Helper()
		var got engine.Submitted
		eventually(t, func() bool {
			var err error
			got, err = e.Submit(ctx, engine.Submission{Definition: dag.Definition{Kind: dag.Batch, Name: "b", Nodes: nodes}})
			return err == nil
		})
		if view := ends(t, e, ctx, got.Run.ID); view.Run.State != dag.Succeeded {
			t.Fatalf("%s: %s", view.Run.State, view.Run.Error)
		}
	}
	inventory := func() (names []string) {
		for row, err := range run.Resources().All(ctx, e.DB, store.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, run.Resources().ID(row.Value))
		}
		return names
	}
	servers, services := batch()
	servers.Servers, services.Taskservs, services.Targets = servers.Servers[:1], []string{"os"}, nil
	do(dag.Node{ID: "a", Operation: servers}, dag.Node{ID: "k", Operation: services, Dependencies: []string{"a"}})
	cut, err := e.Checkpoints.Take(ctx, run.Checkpoint{Name: "before"})
	if err != nil {
		t.Fatal(err)
	}
	servers.Verb = "delete"
	do(dag.Node{ID: "d", Operation: servers})
	q := rollback.Request{Checkpoint: cut.ID}
	r, err := e.Rollback(ctx, q)
	if err != nil || r.Failed != 1 || !strings.Contains(r.Failures[0].Error, "--recreate") || len(inventory()) != 0 {
		t.Fatalf("without the flag: %+v %v, inventory %v", r, err, inventory())
	}
	q.Recreate = true
	if n, list, err := e.Preview(ctx, q, b.ForeseeUndo); err != nil || n != 1 || !list[0].Steps[0].Again {
		t.Fatalf("the preview: %d %+v %v", n, list, err)
	}
	if r, err = e.Rollback(ctx, q); err != nil || r.Executed != 1 || r.Failed != 0 {
		t.Fatalf("with the flag: %+v %v", r, err)
	}
	only := []string{"upcloud/server/web-01"}
	if got := inventory(); !slices.Equal(got, only) {
		t.Errorf("the inventory is %v, want the server without its task service", got)
	}
	later, err := e.Checkpoints.Take(ctx, run.Checkpoint{Name: "made again"})
	if err != nil {
		t.Fatal(err)
	}
	do(dag.Node{ID: "d2", Operation: servers})
	if _, err := e.Restore(ctx, later.ID); err != nil {
		t.Fatal(err)
	}
	if got := inventory(); !slices.Equal(got, only) {
		t.Errorf("restored, the inventory is %v", got)
	}
}
