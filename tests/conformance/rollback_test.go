package conformance

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
)

var sizePattern = regexp.MustCompile(`^[1-9]\d*(B|KB|MB|GB|TB)$`)

// rollbacks holds section 3.7 as far as this release has it.
var rollbacks = []behaviour{
	{82, "checkpoints_need_a_name_of_reasonable_length", func(t *testing.T, e *env) {
		e.checkpoint("only-a-name")
		e.want(e.orch("operator", "POST", "/rollback/checkpoints", map[string]any{"name": "n", "description": "d"}), 201, 200)
		for _, bad := range []any{"", strings.Repeat("n", 10<<10), nil, 7} {
			e.want(e.orch("operator", "POST", "/rollback/checkpoints", map[string]any{"name": bad}), 422)
		}
		if a, b := e.checkpoint("twin"), e.checkpoint("twin"); a == b {
			t.Error("the same name twice is one checkpoint")
		}
	}},
	{83, "a_new_checkpoint_is_listed_and_counts_what_comes_after", func(t *testing.T, e *env) {
		id := e.checkpoint("counted")
		var rows []client.Checkpoint
		e.want(e.orch("viewer", "GET", "/rollback/checkpoints", nil), 200).into(t, &rows)
		if len(rows) == 0 || rows[0].ID != id {
			t.Errorf("%+v", rows)
		}
		if n := e.operationsAfter(id); n != 0 {
			t.Errorf("a new one counts %d", n)
		}
		e.batchEnded(e.execute(e.batch("after", op("a"), op("b"))))
		if n := e.operationsAfter(id); n != 2 {
			t.Errorf("after two operations it counts %d", n)
		}
	}},
	{84, "size_is_a_positive_size_text", func(t *testing.T, e *env) {
		var c client.Checkpoint
		e.want(e.orch("viewer", "GET", "/rollback/checkpoints/"+e.checkpoint("sized"), nil), 200).into(t, &c)
		if !sizePattern.MatchString(c.Size) {
			t.Errorf("size is %q", c.Size)
		}
	}},
	{85, "a_checkpoint_while_tasks_run_is_consistent", func(t *testing.T, e *env) {
		var name, cp string
		e.await(time.Minute, "a checkpoint was taken while the operation ran", func() bool {
			name = e.name("half")
			id := e.execute(e.batch("running", opNamed("a", "slow", name)))
			status := func() string {
				b, err := e.Orch(e.tokens["viewer"]).Batch(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				return b.Operations[0].Status
			}
			e.await(20*time.Second, "the operation has begun", func() bool { return status() != "Pending" })
			cp = e.checkpoint("meanwhile")
			still := status() == "Running"
			e.batchEnded(id)
			return still
		})
		if n := e.operationsAfter(cp); n != 1 {
			t.Errorf("the operation that completed after it counts %d", n)
		}
		e.rollTo(cp)
		if calls := e.callsOf(name); len(calls) != 2 || calls[1].Action != "delete" {
			t.Errorf("%+v", calls)
		}
	}},
	{86, "rollback_to_a_checkpoint_undoes_what_came_after_in_reverse_order", func(t *testing.T, e *env) {
		before, first, second := e.name("before"), e.name("first"), e.name("second")
		e.batchEnded(e.execute(e.batch("before", opNamed("a", "fast", before))))
		cp := e.checkpoint("cut")
		e.batchEnded(e.execute(e.batch("after", opNamed("a", "fast", first), opNamed("b", "fast", second, "a"))))
		want := e.operationsAfter(cp)
		r := e.rollTo(cp)
		if !r.Success || r.OperationsExecuted != want || r.OperationsFailed != 0 || r.Duration < 0 || r.RollbackID == "" {
			t.Errorf("%+v, want %d", r, want)
		}
		var undone []string
		for _, c := range e.callsOf(before, first, second) {
			if c.Action == "delete" {
				undone = append(undone, c.Name)
			}
		}
		if strings.Join(undone, " ") != second+" "+first {
			t.Errorf("undone: %v", undone)
		}
	}},
	{87, "the_same_rollback_again_has_nothing_to_do", func(t *testing.T, e *env) {
		cp := e.checkpoint("twice")
		e.batchEnded(e.execute(e.batch("x", op("a"))))
		one, two := e.rollTo(cp), e.rollTo(cp)
		if one.OperationsExecuted != 1 || two.OperationsExecuted != 0 || !two.Success || one.RollbackID == two.RollbackID {
			t.Errorf("%+v then %+v", one, two)
		}
	}},
	{88, "named_operations_are_undone_in_reverse_order_of_completion", func(t *testing.T, e *env) {
		first, second, kept := e.name("n1"), e.name("n2"), e.name("n3")
		id := e.execute(e.batch("named", opNamed("a", "fast", first), opNamed("b", "fast", second, "a"), opNamed("c", "fast", kept)))
		e.batchEnded(id)
		r := e.undo(id+"/a", id+"/b", id+"/a")
		if !r.Success || r.OperationsExecuted != 2 {
			t.Errorf("%+v", r)
		}
		var undone []string
		for _, c := range e.callsOf(first, second, kept) {
			if c.Action == "delete" {
				undone = append(undone, c.Name)
			}
		}
		if strings.Join(undone, " ") != second+" "+first {
			t.Errorf("undone: %v", undone)
		}
	}},
	{89, "bad_rollback_requests_do_nothing_and_stop_nothing", func(t *testing.T, e *env) {
		id := e.execute(e.batch("safe", op("a")))
		e.batchEnded(id)
		runs := e.execute(e.batch("goes-on", opNamed("a", "slow", e.name("w")), opNamed("b", "slow", e.name("w"), "a"),
			opNamed("c", "slow", e.name("w"), "b")))
		for _, body := range []map[string]any{{"checkpoint_id": nowhere, "operation_ids": []string{"a"}}, {}, {"operation_ids": []string{}},
			{"operation_ids": nil}, {"checkpoint_id": nil}, {"checkpoint_id": 7}, {"operation_ids": "a"}} {
			e.want(e.orch("operator", "POST", "/rollback/execute", body), 422)
		}
		e.want(e.orch("operator", "POST", "/rollback/execute", map[string]any{"checkpoint_id": nowhere}), 404)
		e.want(e.orch("operator", "POST", "/rollback/execute", map[string]any{"operation_ids": []string{id + "/a", "no-such-operation"}}),
			404, 422)
		e.want(e.orch("operator", "POST", "/rollback/execute", map[string]any{"operation_ids": []string{runs + "/a"}}), 409)
		if b := e.batchEnded(id); b.Operations[0].RolledBackAt != nil {
			t.Error("the good one was undone")
		}
		if b := e.batchEnded(runs); b.Status != "Completed" {
			t.Errorf("what ran meanwhile is %s: %+v", b.Status, b)
		}
	}},
	{90, "an_ambiguous_operation_id_is_refused_and_the_qualified_one_works", func(t *testing.T, e *env) {
		name := e.name("ambiguous")
		one, two := e.execute(e.batch("one", op(name))), e.execute(e.batch("two", op(name)))
		e.batchEnded(one)
		e.batchEnded(two)
		a := e.want(e.orch("operator", "POST", "/rollback/execute", map[string]any{"operation_ids": []string{name}}), 422)
		if !strings.Contains(string(a.Raw), one) || !strings.Contains(string(a.Raw), two) {
			t.Errorf("the batches are not listed: %s", a.Raw)
		}
		if r := e.undo(one + "/" + name); r.OperationsExecuted != 1 {
			t.Errorf("%+v", r)
		}
	}},
	{91, "what_is_still_needed_is_undone_only_with_cascade", func(t *testing.T, e *env) {
		id := e.execute(e.batch("needed", op("a"), op("b", "fast", "a")))
		e.batchEnded(id)
		e.want(e.orch("operator", "POST", "/rollback/execute", map[string]any{"operation_ids": []string{id + "/a"}}), 409)
		var r client.Rollback
		e.want(e.orch("operator", "POST", "/rollback/execute", map[string]any{"operation_ids": []string{id + "/a"}, "cascade": true}),
			200).into(t, &r)
		if r.OperationsExecuted != 2 {
			t.Errorf("%+v", r)
		}
	}},
	{92, "one_failing_compensation_does_not_stop_the_others", func(t *testing.T, e *env) {
		stuck, fine := "stuck-"+e.name("s"), e.name("fine")
		cp := e.checkpoint("partial")
		e.batchEnded(e.execute(e.batch("partial", opNamed("a", "stuck", stuck), opNamed("b", "fast", fine))))
		var r client.Rollback
		a := e.want(e.orch("operator", "POST", "/rollback/execute", map[string]any{"checkpoint_id": cp}), 200)
		a.into(t, &r)
		if !a.OK || r.Success || r.OperationsExecuted != 1 || r.OperationsFailed != 1 || len(e.deletes(fine)) != 1 {
			t.Errorf("%s", a.Raw)
		}
		if n := len(e.deletes(stuck)); n != 1 {
			t.Errorf("the one that cannot be undone was tried %d times, want once", n)
		}
		again := e.rollTo(cp)
		if again.Success || again.OperationsExecuted != 0 || again.OperationsFailed != 1 {
			t.Errorf("the second call should have failed at one operation and touched no other: %+v", again)
		}
		if n := len(e.deletes(stuck)); n != 2 {
			t.Errorf("after the second call the one that cannot be undone was tried %d times in all, want twice", n)
		}
		if n := len(e.deletes(fine)); n != 1 {
			t.Errorf("the second call repeated what was done: %d times in all", n)
		}
	}},
	{93, "a_resource_that_is_gone_counts_as_undone", func(t *testing.T, e *env) {
		id := e.execute(e.batch("gone", opNamed("a", "upcloud", e.name("gone"))))
		task := e.ended(e.batchEnded(id).Operations[0].TaskID)
		if err := os.RemoveAll(filepath.Dir(e.root(task))); err != nil { // a local server is its folder
			t.Fatal(err)
		}
		if r := e.undo(id + "/a"); !r.Success || r.OperationsExecuted != 1 || r.OperationsFailed != 0 {
			t.Errorf("undoing what is gone at the provider: %+v", r)
		}
		if o := e.batchEnded(id).Operations[0]; o.RolledBackAt == nil {
			t.Errorf("the operation, %s, does not count as undone", o.Status)
		}
		if r := e.undo(id + "/a"); !r.Success || r.OperationsExecuted != 0 || r.OperationsFailed != 0 {
			t.Errorf("undoing the undone: %+v", r)
		}
	}},
	{94, "two_rollbacks_at_once_are_one_and_a_conflict", func(t *testing.T, e *env) {
		cp := e.checkpoint("race")
		ops, names := e.chain("slow", 4) // undone one by one: the first request is still at work when the second comes
		e.batchEnded(e.execute(e.batch("race", ops...)))
		var both sync.WaitGroup
		statuses := make([]int, 2)
		for i := range statuses {
			both.Go(func() {
				statuses[i] = e.orch("operator", "POST", "/rollback/execute", map[string]any{"checkpoint_id": cp}).Status
			})
		}
		both.Wait()
		slices.Sort(statuses)
		if !slices.Equal(statuses, []int{200, 409}) {
			t.Errorf("the two were answered with %v, want 200 and 409", statuses)
		}
		for _, name := range names {
			if n := len(e.deletes(name)); n != 1 {
				t.Errorf("%s was undone %d times, want once", name, n)
			}
		}
	}},
	{95, "after_kill_9_the_rollback_is_finished_and_nothing_undone_twice", func(t *testing.T, e *env) {
		f := e.fresh()
		cp := f.checkpoint("killed")
		ops, names := f.chain("slow", 4) // undone one by one
		if b := f.batchEnded(f.execute(f.batch("killed", ops...))); b.Status != "Completed" {
			t.Fatalf("there is nothing to undo: %+v", b)
		}
		undone := func() (n int) {
			for _, name := range names {
				n += len(f.changes("slow", name)) - 1
			}
			return n
		}
		go func() {
			_, _ = f.Orch(f.Token).ExecuteRollback(t.Context(), client.RollbackRequest{CheckpointID: cp}, "")
		}()
		f.await(20*time.Second, "the first compensation was made", func() bool { return undone() > 0 })
		if err := f.Orchestrator.Kill(); err != nil {
			t.Fatal(err)
		}
		if n := undone(); n == len(names) {
			t.Fatal("everything was undone before the kill: nothing was left to finish")
		}
		if err := f.Orchestrator.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.await(30*time.Second, "nothing is left to undo", func() bool { return f.operationsAfter(cp) == 0 })
		for _, name := range names {
			if history := f.changes("slow", name); len(history) != 2 || history[0].Gone || !history[1].Gone {
				t.Errorf("%s should have come and gone once: %+v", name, history)
			}
			if calls := f.deletes(name); len(calls) > 1 { // one whose answer was lost is looked up, not asked for again
				t.Errorf("%s was undone %d times: %+v", name, len(calls), calls)
			}
		}
	}},
}

// checkpoint takes a checkpoint as the operator.
func (e *env) checkpoint(name string) string {
	e.t.Helper()
	var id string
	e.want(e.orch("operator", "POST", "/rollback/checkpoints", map[string]any{"name": name}), 201, 200).into(e.t, &id)
	return id
}

// operationsAfter returns operations_count of a checkpoint.
func (e *env) operationsAfter(id string) int {
	e.t.Helper()
	var c client.Checkpoint
	e.want(e.orch("viewer", "GET", "/rollback/checkpoints/"+id, nil), 200).into(e.t, &c)
	if c.OperationsCount == nil {
		e.t.Fatal("no operations_count")
	}
	return *c.OperationsCount
}

// rollTo rolls back to a checkpoint; undo undoes named operations.
func (e *env) rollTo(checkpoint string) client.Rollback {
	e.t.Helper()
	var r client.Rollback
	e.want(e.orch("operator", "POST", "/rollback/execute", map[string]any{"checkpoint_id": checkpoint}), 200).into(e.t, &r)
	return r
}

func (e *env) undo(ids ...string) client.Rollback {
	e.t.Helper()
	var r client.Rollback
	e.want(e.orch("operator", "POST", "/rollback/execute", map[string]any{"operation_ids": ids}), 200).into(e.t, &r)
	return r
}
