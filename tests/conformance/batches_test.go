package conformance

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
)

// reference is the batch of the API reference, byte for byte.
const reference = "../../deploy/sample/batches/multi_cloud_deployment.json"

// batches holds section 3.5.
var batches = []behaviour{
	{53, "the_references_batch_is_accepted_byte_for_byte", func(t *testing.T, e *env) {
		raw, err := os.ReadFile(reference)
		if err != nil {
			t.Fatal(err)
		}
		var b client.BatchRun
		e.want(e.orch("operator", "POST", "/batch/execute", raw), 200).into(t, &b)
		if b.BatchID == "" || b.Status != "Running" || len(b.Operations) != 2 {
			t.Fatalf("%+v", b)
		}
		for i, id := range []string{"upcloud_servers", "aws_taskservs"} {
			if o := b.Operations[i]; o.ID != id || o.Status != "Pending" || o.Progress != 0 {
				t.Errorf("%+v", o)
			}
		}
		if end := e.batchEnded(b.BatchID); end.Status != "Completed" {
			t.Errorf("%+v", end)
		}
	}},
	{54, "an_operation_starts_only_after_its_dependencies", func(t *testing.T, e *env) {
		first, second := e.name("first"), e.name("second")
		e.batchEnded(e.execute(e.batch("order", opNamed("a", "slow", first), opNamed("b", "fast", second, "a"))))
		calls := e.callsOf(first, second)
		if len(calls) != 2 || calls[0].Name != first || calls[1].Name != second {
			t.Errorf("the provider saw %+v", calls)
		}
	}},
	{55, "independent_operations_overlap_up_to_the_limit", func(t *testing.T, e *env) {
		for _, limit := range []int{1, 3} {
			b := e.batch("parallel", op("a", "slow"), op("b", "slow"), op("c", "slow"), op("d", "slow"), op("e", "slow"), op("f", "slow"))
			b["parallel_limit"] = limit
			id, most := e.execute(b), 0
			e.await(60*time.Second, "the batch ends", func() bool {
				b, err := e.Orch(e.tokens["viewer"]).Batch(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				running := 0
				for _, o := range b.Operations {
					if o.Status == "Running" {
						running++
					}
				}
				most = max(most, running)
				return b.Status != "Running"
			})
			if most > limit || (limit > 1 && most < 2) {
				t.Errorf("with a limit of %d there were %d at once", limit, most)
			}
		}
	}},
	{56, "progress_never_falls_and_is_100_exactly_when_completed", func(t *testing.T, e *env) {
		configs := []any{}
		for i := range 4 {
			configs = append(configs, map[string]any{"name": fmt.Sprintf("%s-%d", e.name("p"), i), "plan": "1xCPU-2GB", "zone": "z"})
		}
		id, last := e.execute(e.batch("progress",
			map[string]any{"id": "a", "type": "server_batch", "provider": "slow", "server_configs": configs})), 0.0
		e.await(60*time.Second, "the batch ends", func() bool {
			var b struct {
				Status     string
				Operations []struct {
					Status   string
					Progress float64
					Results  map[string]any
				}
			}
			e.want(e.orch("viewer", "GET", "/batch/operations/"+id, nil), 200).into(t, &b)
			o := b.Operations[0]
			if o.Progress < last || (o.Progress == 100) != (o.Status == "Completed") || o.Results == nil {
				t.Errorf("progress %v after %v, %+v", o.Progress, last, o)
			}
			last = o.Progress
			return b.Status != "Running"
		})
	}},
	{57, "a_batch_is_completed_when_all_are_and_failed_when_one_is", func(t *testing.T, e *env) {
		if b := e.batchEnded(e.execute(e.batch("good", op("a"), op("b")))); b.Status != "Completed" {
			t.Errorf("%+v", b)
		}
		if b := e.batchEnded(e.execute(e.batch("bad", op("a"), op("b", "broken")))); b.Status != "Failed" {
			t.Errorf("%+v", b)
		}
	}},
	{58, "what_depends_on_a_failure_is_cancelled_and_says_why", func(t *testing.T, e *env) {
		cause := e.name("cause")
		b := e.batchEnded(e.execute(e.batch("cause", op(cause, "broken"), op("direct", "fast", cause), op("indirect", "fast", "direct"))))
		if b.Status != "Failed" || b.Operations[0].Status != "Failed" {
			t.Errorf("the batch and its first operation should be Failed: %+v", b)
		}
		want := "not run because operation " + cause + ", which it depends on, failed"
		for _, o := range b.Operations[1:] {
			task := e.ended(o.TaskID)
			if o.Status != "Cancelled" || o.Error != want {
				t.Errorf("operation %s is %s with %q, want Cancelled with %q", o.ID, o.Status, o.Error, want)
			}
			if task.Status != "Cancelled" || task.Error == nil || *task.Error != want || task.StartedAt != nil {
				t.Errorf("the task of %s should be Cancelled with %q and never have started: %+v", o.ID, want, task)
			}
		}
	}},
	{59, "broken_graphs_are_refused_by_name_and_nothing_is_created", func(t *testing.T, e *env) {
		before := e.count("/batch/operations")
		ring := func(n int) map[string]any {
			var ops []map[string]any
			for i := range n {
				ops = append(ops, op(fmt.Sprintf("n%d", i), "fast", fmt.Sprintf("n%d", (i+1)%n)))
			}
			return e.batch("ring", ops...)
		}
		for what, b := range map[string]map[string]any{"ghost": e.batch("x", op("a", "fast", "ghost")),
			"a": e.batch("x", op("a", "fast", "a")), "n0": ring(2), "n1": ring(50)} {
			if a := e.want(e.orch("operator", "POST", "/batch/execute", b), 422); !strings.Contains(string(a.Raw), what) {
				t.Errorf("%s is not named: %s", what, a.Raw)
			}
		}
		if e.count("/batch/operations") != before {
			t.Error("a batch was created")
		}
	}},
	{60, "operations_are_checked", func(t *testing.T, e *env) {
		bad := op("a")
		bad["type"] = "magic"
		nowhere := op("a", "no-such-provider")
		for _, b := range []map[string]any{e.batch("x", op("a"), op("a")), e.batch("x"), e.batch("x", op("")), e.batch("x", bad),
			e.batch("x", nowhere)} {
			e.want(e.orch("operator", "POST", "/batch/execute", b), 422)
		}
	}},
	{61, "server_batches_need_named_servers", func(t *testing.T, e *env) {
		for _, configs := range []any{nil, []any{}, []any{map[string]any{"plan": "p", "zone": "z"}},
			[]any{map[string]any{"name": "twin"}, map[string]any{"name": "twin"}}} {
			o := op("a")
			if o["server_configs"] = configs; configs == nil {
				delete(o, "server_configs")
			}
			e.want(e.orch("operator", "POST", "/batch/execute", e.batch("x", o)), 422)
		}
	}},
	{62, "taskserv_batches_need_known_task_services", func(t *testing.T, e *env) {
		for _, list := range []any{nil, []any{}, []any{"no-such-taskserv"}} {
			o := map[string]any{"id": "a", "type": "taskserv_batch", "provider": "fast", "taskservs": list}
			if list == nil {
				delete(o, "taskservs")
			}
			e.want(e.orch("operator", "POST", "/batch/execute", e.batch("x", o)), 422)
		}
	}},
	{63, "parallel_limit_is_a_positive_whole_number", func(t *testing.T, e *env) {
		for _, bad := range []any{0, -1, 1.5, "5"} {
			b := e.batch("x", op("a"))
			b["parallel_limit"] = bad
			e.want(e.orch("operator", "POST", "/batch/execute", b), 422)
		}
		b := e.batch("x", op("a"))
		delete(b, "parallel_limit")
		e.want(e.orch("operator", "POST", "/batch/execute", b), 200)
	}},
	{64, "storage_backend_is_a_wish_of_two_words", func(t *testing.T, e *env) {
		for word, status := range map[string]int{"filesystem": 200, "surrealdb": 200, "mongodb": 422} {
			b := e.batch("x", op("a"))
			b["storage_backend"] = word
			e.want(e.orch("operator", "POST", "/batch/execute", b), status)
		}
	}},
	{65, "a_thousand_operations_in_a_chain_and_in_a_fan", func(t *testing.T, e *env) {
		chain, _ := e.chain("fast", 1000)
		fan := []map[string]any{op("f0")}
		for i := 1; i < 1000; i++ {
			fan = append(fan, op(fmt.Sprintf("f%d", i), "fast", "f0"))
		}
		for what, ops := range map[string][]map[string]any{"chain": chain, "fan": fan} {
			b := e.batch(what, ops...)
			b["parallel_limit"] = 64
			id := e.execute(b)
			e.await(5*time.Minute, "the "+what+" ends", func() bool {
				b, err := e.Orch(e.tokens["viewer"]).Batch(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if b.Status == "Failed" || b.Status == "Cancelled" {
					t.Fatalf("%s is %s", what, b.Status)
				}
				return b.Status == "Completed"
			})
			e.inOrder(id, ops)
		}
	}},
	{66, "batches_are_listed_newest_first_and_found_by_their_id_only", func(t *testing.T, e *env) {
		id := e.execute(e.batch("listed", op("a")))
		end := e.batchEnded(id)
		a := e.want(e.orch("viewer", "GET", "/batch/operations?limit=1", nil), 200)
		var rows []client.BatchRun
		a.into(t, &rows)
		if len(rows) != 1 || rows[0].BatchID != id || rows[0].CreatedAt == nil || rows[0].Name != end.Name ||
			a.Header.Get("X-Total-Count") == "" || len(rows[0].Operations) != 1 {
			t.Errorf("%+v %v", rows, a.Header)
		}
		e.want(e.orch("viewer", "GET", "/batch/operations/"+nowhere, nil), 404)
		e.want(e.orch("viewer", "GET", "/batch/operations/"+end.Operations[0].TaskID, nil), 404)
	}},
	{67, "cancel_stops_the_batch_and_undoes_nothing", func(t *testing.T, e *env) {
		kept, never := e.name("kept"), e.name("never")
		id := e.execute(e.batch("cancelled", opNamed("a", "fast", kept), op("b", "hang", "a"), opNamed("c", "fast", never, "b")))
		e.await(10*time.Second, "a is done and b runs", func() bool {
			b, err := e.Orch(e.tokens["viewer"]).Batch(t.Context(), id)
			return err == nil && b.Operations[0].Status == "Completed" && b.Operations[1].Status == "Running"
		})
		if a := e.want(e.orch("operator", "POST", "/batch/operations/"+id+"/cancel", nil), 200); string(a.Data) != `"Operation cancelled"` {
			t.Errorf("%s", a.Data)
		}
		e.batchEnded(id)
		e.ended(e.submit("fast")) // what is done after the cancel would be done by now
		b := e.batchEnded(id)
		if b.Status != "Cancelled" || b.Operations[0].Status != "Completed" || b.Operations[1].Status != "Cancelled" ||
			b.Operations[2].Status != "Cancelled" {
			t.Errorf("a should be Completed, b, c and the batch Cancelled: %+v", b)
		}
		if calls := e.callsOf(kept); len(calls) != 1 || calls[0].Action != "create" {
			t.Errorf("the cancel undid something: %+v", calls)
		}
		if calls := e.callsOf(never); len(calls) != 0 {
			t.Errorf("an operation started after the cancel: %+v", calls)
		}
	}},
	{68, "an_ended_batch_cannot_be_cancelled", func(t *testing.T, e *env) {
		id := e.execute(e.batch("over", op("a")))
		e.batchEnded(id)
		e.want(e.orch("operator", "POST", "/batch/operations/"+id+"/cancel", nil), 409)
		e.want(e.orch("operator", "POST", "/batch/operations/"+nowhere+"/cancel", nil), 404)
		e.want(e.orch("viewer", "POST", "/batch/operations/"+id+"/cancel", nil), 403)
	}},
	{69, "a_failure_undoes_what_was_done_in_reverse_order_once", func(t *testing.T, e *env) {
		first, second := e.name("undo-1"), e.name("undo-2")
		b := e.batch("undone", opNamed("a", "fast", first), opNamed("b", "fast", second, "a"), op("c", "broken", "b"))
		b["rollback_enabled"] = true
		end := e.batchEnded(e.execute(b))
		if end.Status != "Failed" || end.Operations[0].Status != "Completed" || end.Operations[0].RolledBackAt == nil {
			t.Errorf("%+v", end)
		}
		var seen []string
		for _, c := range e.callsOf(first, second) {
			seen = append(seen, c.Action+" "+c.Name)
		}
		if got, want := strings.Join(seen, ", "), fmt.Sprintf("create %s, create %s, delete %s, delete %s", first, second, second,
			first); got != want {
			t.Errorf("the provider saw %s, want %s", got, want)
		}
	}},
	{70, "without_rollback_enabled_nothing_is_undone", func(t *testing.T, e *env) {
		name := e.name("kept")
		b := e.batch("kept", opNamed("a", "fast", name), op("b", "broken", "a"))
		b["rollback_enabled"] = false
		end := e.batchEnded(e.execute(b))
		if end.Status != "Failed" || end.Operations[0].RolledBackAt != nil || len(e.callsOf(name)) != 1 {
			t.Errorf("%+v, calls %+v", end, e.callsOf(name))
		}
	}},
	{71, "transient_failures_are_retried_with_growing_delays_permanent_ones_are_not", func(t *testing.T, e *env) {
		flaky, bad, down := "flaky-"+e.name("s"), e.name("bad"), e.name("down")
		if b := e.batchEnded(e.execute(e.batch("flaky", opNamed("a", "flaky", flaky)))); b.Status != "Completed" {
			t.Errorf("after two transient failures the batch should be Completed: %+v", b)
		}
		if n := e.callCount(flaky); n != 3 {
			t.Errorf("the provider saw %d calls, want two that failed and one that worked", n)
		}
		e.batchEnded(e.execute(e.batch("bad", opNamed("a", "broken", bad))))
		if n := e.callCount(bad); n != 1 {
			t.Errorf("a permanent failure was tried %d times", n)
		}
		o := opNamed("a", "down", down)
		o["retry"] = map[string]any{"max_attempts": 7}
		if b := e.batchEnded(e.execute(e.batch("down", o))); b.Status != "Failed" {
			t.Errorf("with every try failing the batch should be Failed: %+v", b)
		}
		for name, tries := range map[string]int{flaky: 3, down: 7} {
			e.growing(e.callsOf(name), tries)
		}
	}},
	{72, "an_operation_that_takes_too_long_fails_with_a_timeout", func(t *testing.T, e *env) {
		o := op("a", "hang")
		o["timeout"] = 1
		b := e.batchEnded(e.execute(e.batch("timeout", o)))
		task := e.ended(b.Operations[0].TaskID)
		if b.Status != "Failed" || task.Status != "Failed" || task.Error == nil || !strings.Contains(*task.Error, "timeout") {
			t.Errorf("the operation should have Failed with a timeout: %+v", task)
		}
	}},
	{73, "after_kill_9_the_batch_goes_on_and_nothing_is_made_twice", func(t *testing.T, e *env) {
		f := e.configured(simulated("booting", `boot = "500ms"`)) // a server is there long before its operation is done
		ops, names := f.chain("booting", 6)
		id := f.execute(f.batch("killed", ops...))
		f.await(20*time.Second, "the second server is there", func() bool { return len(f.changes("booting", names[1])) > 0 })
		if err := f.Orchestrator.Kill(); err != nil {
			t.Fatal(err)
		}
		if n := f.callCount(names[5]); n > 0 {
			t.Fatal("the last server was made before the kill: nothing was left to go on with")
		}
		if err := f.Orchestrator.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b := f.batchEnded(id); b.Status != "Completed" {
			t.Errorf("the batch should be Completed: %+v", b)
		}
		for i, name := range names {
			if made := f.changes("booting", name); len(made) != 1 || made[0].Gone {
				t.Errorf("%s should have been made once: %+v", name, made)
			}
			// One call a server, save that a kill in the very moment of the second call may come
			// before its record: what was made is looked up and not asked for again.
			if n := f.callCount(name); n > 1 || n < 1 && i != 1 {
				t.Errorf("%s was asked for %d times, want once", name, n)
			}
		}
	}},
	{74, "on_failure_continue_lets_siblings_and_dependents_run", func(t *testing.T, e *env) {
		for mode, c := range map[string]struct{ batch, dependent string }{
			"continue": {"Completed", "Completed"}, "fail": {"Failed", "Cancelled"},
		} {
			a, after, last := op("a", "broken"), op("after", "fast", "a"), op("last", "fast", "after", "beside")
			a["on_failure"] = mode
			end := e.batchEnded(e.execute(e.batch("soft-"+mode, a, op("beside", "fast"), after, last)))
			got := map[string]string{}
			for _, o := range end.Operations {
				got[o.ID] = o.Status
			}
			if end.Status != c.batch || got["a"] != "Failed" || got["after"] != c.dependent || got["last"] != c.dependent {
				t.Errorf("with on_failure %s the batch is %s with %v, want %s and %s", mode, end.Status, got, c.batch, c.dependent)
			}
		}
	}},
}

// op returns a server_batch operation with one server. provider is the first of rest and defaults
// to "fast"; the others are dependencies.
func op(id string, rest ...string) map[string]any {
	return opNamed(id, first(rest, "fast"), fmt.Sprintf("%s-%d", id, time.Now().UnixNano()), rest[min(1, len(rest)):]...)
}

func opNamed(id, provider, server string, dependencies ...string) map[string]any {
	if dependencies == nil {
		dependencies = []string{}
	}
	return map[string]any{"id": id, "type": "server_batch", "provider": provider, "dependencies": dependencies,
		"server_configs": []any{map[string]any{"name": server, "plan": "1xCPU-2GB", "zone": "de-fra1"}}}
}

// chain returns n operations at a provider, each of which depends on the one before it, and their
// servers.
func (e *env) chain(provider string, n int) (ops []map[string]any, servers []string) {
	for i := range n {
		var after []string
		if i > 0 {
			after = []string{ops[i-1]["id"].(string)}
		}
		servers = append(servers, fmt.Sprintf("%s-%d", e.name("chain"), i))
		ops = append(ops, opNamed(fmt.Sprintf("c%d", i), provider, servers[i], after...))
	}
	return ops, servers
}

func first(list []string, otherwise string) string {
	if len(list) > 0 {
		return list[0]
	}
	return otherwise
}

// batch returns a batch body.
func (e *env) batch(name string, ops ...map[string]any) map[string]any {
	if ops == nil {
		ops = []map[string]any{}
	}
	return map[string]any{"name": name, "version": "1.0.0", "storage_backend": "filesystem", "parallel_limit": 5, "rollback_enabled": false,
		"operations": ops}
}

// execute submits a batch as the operator and returns its id.
func (e *env) execute(b map[string]any) string {
	e.t.Helper()
	var out client.BatchRun
	e.want(e.orch("operator", "POST", "/batch/execute", b), 200).into(e.t, &out)
	return out.BatchID
}

// inOrder fails unless each operation of an ended batch started after those it depends on had
// ended.
func (e *env) inOrder(id string, ops []map[string]any) {
	e.t.Helper()
	b, err := e.Orch(e.tokens["viewer"]).Batch(e.t.Context(), id)
	if err != nil {
		e.t.Fatal(err)
	}
	tasks, operations := map[string]client.Task{}, map[string]client.Task{}
	for _, task := range e.walk("/tasks?limit=1000") {
		tasks[task.ID] = task
	}
	for _, o := range b.Operations {
		operations[o.ID] = tasks[o.TaskID]
	}
	for _, o := range ops {
		id := o["id"].(string)
		for _, d := range o["dependencies"].([]string) {
			started, ended := operations[id].StartedAt, operations[d].CompletedAt
			if started == nil || ended == nil || started.Before(*ended) {
				e.t.Fatalf("%s started at %v, want that after %s ended, %v", id, started, d, ended)
			}
		}
	}
}

// growing fails unless the provider saw that many tries with growing delays: by the documented rule
// the n-th delay is between half and all of the initial one (100 ms here) times 2^(n-1).
func (e *env) growing(calls []providerCall, tries int) {
	e.t.Helper()
	if len(calls) != tries {
		e.t.Fatalf("%d tries, want %d: %+v", len(calls), tries, calls)
	}
	var delays []time.Duration
	for i := 1; i < tries; i++ {
		delays = append(delays, calls[i].Time.Sub(calls[i-1].Time))
		if least := 50 * time.Millisecond << (i - 1); delays[i-1] < least {
			e.t.Errorf("delay %d is %s, want at least %s", i, delays[i-1], least)
		}
	}
	// Equal delays could all be long enough. The jitter, and a busy machine, make neighbours a poor
	// comparison.
	if first, last := delays[0], delays[len(delays)-1]; tries > 4 && last < 2*first {
		e.t.Errorf("the delays do not grow: %s", delays)
	}
}
