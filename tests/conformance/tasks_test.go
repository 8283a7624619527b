package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
)

// health holds section 3.2. Of behaviour 25 the first half, 503 without storage, stands here; what
// /state/system/health says then comes with /state.
var health = []behaviour{
	{22, "health_answers_without_a_token_with_the_exact_text", func(t *testing.T, e *env) {
		if a := e.want(e.orch("", "GET", "/health", nil), 200); string(a.Raw) != `{"success":true,"data":"Orchestrator is healthy"}` {
			t.Errorf("%s", a.Raw)
		}
		if a := e.want(e.cc("", "GET", "/health", nil), 200); string(a.Raw) != `{"success":true,"data":"Control Center is healthy"}` {
			t.Errorf("%s", a.Raw)
		}
	}},
	{23, "health_answers_with_a_bad_token", func(t *testing.T, e *env) {
		e.want(e.callWith(endpoint{service: "orch", method: "GET", path: "/health"}, "Bearer garbage"), 200)
		e.want(e.callWith(endpoint{service: "cc", method: "GET", path: "/health"}, "Bearer garbage"), 200)
	}},
	{24, "health_is_not_rate_limited", func(t *testing.T, e *env) {
		l := e.limited()
		for range 200 {
			l.want(l.orch("", "GET", "/health", nil), 200)
		}
	}},
	{25, "without_storage_health_is_503", func(t *testing.T, e *env) {
		away, back := e.withoutStorage()
		healthy := `{"success":true,"data":"Orchestrator is healthy"}`
		e.await(20*time.Second, "health is good", func() bool { return string(e.orch("", "GET", "/health", nil).Raw) == healthy })
		away()
		says := func() bool {
			e.orch("admin", "POST", "/rollback/checkpoints", map[string]any{"name": "x"}) // a store is missed when it is used
			return e.orch("", "GET", "/health", nil).Status == 503
		}
		if back != nil { // a full disk can still be read (decisions 42 and 46)
			says = func() bool {
				return string(e.orch("", "GET", "/health", nil).Raw) == `{"success":true,"data":"Orchestrator is degraded: store.full"}`
			}
		}
		e.await(20*time.Second, "health says that storage is away", says)
		e.want(e.orch("", "GET", "/ready", nil), 503)
		if back != nil {
			e.want(e.orch("admin", "GET", "/tasks", nil), 200)
			back()
			e.await(20*time.Second, "health is good again", func() bool { return string(e.orch("", "GET", "/health", nil).Raw) == healthy })
			e.want(e.orch("", "GET", "/ready", nil), 200)
		}
	}},
}

// tasks holds section 3.3.
var tasks = []behaviour{
	{26, "a_fresh_system_has_no_tasks", func(t *testing.T, e *env) {
		f := e.fresh()
		a := f.want(f.do(request{base: f.Orchestrator.Address, method: "GET", path: "/tasks", token: f.Token.Reveal()}), 200)
		if string(a.Data) != "[]" || a.Header.Get("X-Total-Count") != "0" || a.Header.Get("Link") != "" {
			t.Errorf("%s %v", a.Data, a.Header)
		}
	}},
	{27, "all_eleven_members_are_always_there", func(t *testing.T, e *env) {
		e.ended(e.submit("fast"))
		e.submit("slow")
		var rows []map[string]json.RawMessage
		e.want(e.orch("viewer", "GET", "/tasks", nil), 200).into(t, &rows)
		for _, row := range rows {
			for _, m := range []string{"id", "name", "command", "args", "dependencies", "status", "created_at", "started_at",
				"completed_at", "output", "error"} {
				if row[m] == nil {
					t.Errorf("%s is missing in %v", m, row)
				}
			}
		}
	}},
	{28, "states_only_move_forward", func(t *testing.T, e *env) {
		id, seen := e.submit("slow"), []string{}
		e.await(30*time.Second, "the task ends", func() bool {
			task, err := e.Orch(e.tokens["viewer"]).Task(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if len(seen) == 0 || seen[len(seen)-1] != task.Status {
				seen = append(seen, task.Status)
			}
			return task.CompletedAt != nil
		})
		if got := strings.Join(seen, " "); got != "Pending Running Completed" && got != "Running Completed" {
			t.Errorf("the task went through %s", got)
		}
	}},
	{29, "times_follow_the_state", func(t *testing.T, e *env) {
		id := e.submit("slow")
		check := func(task client.Task) {
			switch task.Status {
			case "Pending":
				if task.StartedAt != nil || task.CompletedAt != nil {
					t.Errorf("pending with times: %+v", task)
				}
			case "Running":
				if task.StartedAt == nil || task.CompletedAt != nil {
					t.Errorf("running with times: %+v", task)
				}
			default:
				if task.StartedAt == nil || task.CompletedAt == nil || task.StartedAt.Before(task.CreatedAt) ||
					task.CompletedAt.Before(*task.StartedAt) {
					t.Errorf("ended with times: %+v", task)
				}
			}
		}
		e.await(30*time.Second, "the task ends", func() bool {
			task, err := e.Orch(e.tokens["viewer"]).Task(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			check(task)
			return task.CompletedAt != nil
		})
	}},
	{30, "ended_tasks_never_change", func(t *testing.T, e *env) {
		for provider, failed := range map[string]bool{"fast": false, "broken": true} {
			task := e.ended(e.submit(provider))
			if failed != (task.Error != nil) || (failed && (*task.Error == "" || task.Status != "Failed")) ||
				(!failed && task.Status != "Completed") {
				t.Errorf("%s: %+v", provider, task)
			}
			first := e.orch("viewer", "GET", "/tasks/"+task.ID, nil).Raw
			e.ended(e.submit("fast"))
			if again := e.orch("viewer", "GET", "/tasks/"+task.ID, nil).Raw; string(first) != string(again) {
				t.Errorf("the ended task changed:\n%s\n%s", first, again)
			}
		}
	}},
	{31, "the_status_filter_knows_five_words_in_any_case", func(t *testing.T, e *env) {
		// a task of each status
		one := map[string]string{"Completed": e.submit("fast"), "Failed": e.submit("broken"), "Cancelled": e.submit("hang")}
		e.want(e.orch("operator", "POST", "/tasks/"+one["Cancelled"]+"/cancel", nil), 200)
		for status, id := range one {
			if task := e.ended(id); task.Status != status {
				t.Fatalf("the task should be %s: %+v", status, task)
			}
		}
		batch := e.execute(e.batch("filter", op("a", "hang"), op("b", "fast", "a")))
		defer func() { // what hangs would stay in the way of others
			e.want(e.orch("operator", "POST", "/batch/operations/"+batch+"/cancel", nil), 200)
			e.batchEnded(batch)
		}()
		e.await(10*time.Second, "an operation runs and another waits for it", func() bool {
			b, err := e.Orch(e.tokens["viewer"]).Batch(t.Context(), batch)
			if err != nil {
				t.Fatal(err)
			}
			one["Running"], one["Pending"] = b.Operations[0].TaskID, b.Operations[1].TaskID
			return b.Operations[0].Status == "Running" && b.Operations[1].Status == "Pending"
		})
		for word, id := range one {
			for _, spelled := range []string{word, strings.ToLower(word), strings.ToUpper(word)} {
				var rows []client.Task
				e.want(e.orch("viewer", "GET", "/tasks?limit=1000&status="+spelled, nil), 200).into(t, &rows)
				if !slices.ContainsFunc(rows, func(r client.Task) bool { return r.ID == id }) {
					t.Errorf("status=%s does not list task %s, which is %s", spelled, id, word)
				}
				for _, r := range rows {
					if r.Status != word {
						t.Errorf("status=%s lists a task that is %s", spelled, r.Status)
					}
				}
			}
		}
		for _, bad := range []string{"Sleeping", ""} {
			e.want(e.orch("viewer", "GET", "/tasks?status="+bad, nil), 400)
		}
	}},
	{32, "limit_and_offset_are_checked", func(t *testing.T, e *env) {
		e.ended(e.submit("fast"))
		for limit, shown := range map[string]string{"1": "1", "1000": "1000", "5000": "1000"} {
			if a := e.want(e.orch("viewer", "GET", "/tasks?limit="+limit, nil), 200); a.Header.Get("X-Limit") != shown {
				t.Errorf("limit=%s is shown as %s", limit, a.Header.Get("X-Limit"))
			}
		}
		for _, bad := range []string{"limit=0", "limit=-1", "limit=x", "limit=1e3", "limit=9223372036854775808", "offset=-1", "offset=x",
			"limit="} {
			e.want(e.orch("viewer", "GET", "/tasks?"+bad, nil), 400)
		}
		for _, past := range []string{"100000", "1000000000000"} {
			if a := e.want(e.orch("viewer", "GET", "/tasks?offset="+past, nil), 200); string(a.Data) != "[]" {
				t.Errorf("past the end: %s", a.Data)
			}
		}
	}},
	{33, "walking_by_link_meets_each_task_once_while_new_ones_arrive", func(t *testing.T, e *env) {
		var before, meanwhile []string
		for range 50 {
			before = append(before, e.submit("fast"))
		}
		seen := map[string]int{}
		for path := "/tasks?limit=7"; path != ""; {
			a := e.want(e.orch("viewer", "GET", path, nil), 200)
			var rows []client.Task
			a.into(t, &rows)
			for _, r := range rows {
				seen[r.ID]++
			}
			meanwhile = append(meanwhile, e.submit("fast"))
			path = next(t, a)
		}
		for _, id := range before {
			if seen[id] != 1 {
				t.Errorf("task %s was met %d times", id, seen[id])
			}
		}
		for id, n := range seen {
			if n > 1 {
				t.Errorf("task %s was met %d times", id, n)
			}
		}
		for _, id := range append(before, meanwhile...) { // none ends within another behaviour
			e.ended(id)
		}
	}},
	{34, "tasks_are_listed_newest_first", func(t *testing.T, e *env) {
		older := e.submit("fast")
		e.ended(older)
		tied := e.batchEnded(e.execute(e.batch("tied", op("a"), op("b"), op("c"), op("d"), op("e")))) // of one moment
		newer := e.submit("fast")
		e.ended(newer)
		for _, path := range []string{"/tasks?", "/tasks?status=completed&"} {
			rows, at := e.walk(path+"limit=1000"), map[string]int{}
			for i, r := range rows {
				at[r.ID] = i
				if i > 0 && r.CreatedAt.After(rows[i-1].CreatedAt) {
					t.Errorf("%s: row %d is newer than the one before", path, i)
				}
			}
			for _, o := range tied.Operations {
				i, there := at[o.TaskID]
				if !there || !rows[i].CreatedAt.Equal(rows[at[tied.Operations[0].TaskID]].CreatedAt) {
					t.Fatalf("%s: the tasks of a batch should be listed, and of one moment; %s is not", path, o.TaskID)
				}
				if n, there := at[newer]; !there || n > i {
					t.Errorf("%s: the newer task should stand before row %d: row %d, %v", path, i, n, there)
				}
				if n, there := at[older]; !there || n < i {
					t.Errorf("%s: the older task should stand behind row %d: row %d, %v", path, i, n, there)
				}
			}
			ids := func(r client.Task, s client.Task) bool { return r.ID == s.ID }
			if again := e.walk(path + "limit=1000"); !slices.EqualFunc(rows, again, ids) {
				t.Errorf("%s: the order of two equal requests differs", path)
			}
			if pages := e.walk(path + "limit=2"); !slices.EqualFunc(rows, pages, ids) {
				t.Errorf("%s: the order of pages of two differs from that of the whole", path)
			}
		}
	}},
	{35, "filter_and_paging_work_together", func(t *testing.T, e *env) {
		for range 3 {
			e.ended(e.submit("broken"))
		}
		a := e.want(e.orch("viewer", "GET", "/tasks?status=failed&limit=1", nil), 200)
		var rows []client.Task
		e.want(e.orch("viewer", "GET", "/tasks?status=failed&limit=1000", nil), 200).into(t, &rows)
		if a.Header.Get("X-Total-Count") != strconv.Itoa(len(rows)) {
			t.Errorf("total is %s, %d match", a.Header.Get("X-Total-Count"), len(rows))
		}
		if link := next(t, a); !strings.Contains(link, "status=failed") {
			t.Errorf("Link lost the filter: %s", link)
		}
	}},
	{36, "unknown_and_impossible_ids_are_404", func(t *testing.T, e *env) {
		e.want(e.orch("viewer", "GET", "/tasks/"+nowhere, nil), 404)
		for _, id := range []string{"no-such-id", "..%2Fx", "%00", strings.Repeat("a", 4096), "%2e%2e"} {
			e.want(e.orch("viewer", "GET", "/tasks/"+id, nil), 404, 400)
		}
	}},
	{37, "one_task_can_be_cancelled", func(t *testing.T, e *env) {
		f := e.configured("[limits]\ntasks = 1\n") // while one hangs, the next stays pending
		is := func(id, status string) func() bool {
			return func() bool {
				task, err := f.Orch(f.tokens["viewer"]).Task(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				return task.Status == status
			}
		}
		running := f.submit("hang")
		f.await(10*time.Second, "the task runs", is(running, "Running"))
		pending := f.submit("fast")
		f.await(10*time.Second, "the next is pending", is(pending, "Pending"))
		for _, id := range []string{pending, running} {
			f.want(f.orch("operator", "POST", "/tasks/"+id+"/cancel", nil), 200)
			task := f.ended(id)
			if task.Status != "Cancelled" || (task.StartedAt != nil) != (id == running) {
				t.Errorf("the task should be Cancelled and have started only if it was Running: %+v", task)
			}
			if a := f.orch("viewer", "GET", "/tasks/"+id, nil); strings.Contains(string(a.Raw), `"attention"`) {
				t.Errorf("nothing was made and the task asks for attention: %s", a.Raw)
			}
			f.want(f.orch("operator", "POST", "/tasks/"+id+"/cancel", nil), 409)
		}
		ended := f.submit("fast") // in the place that the cancels made free
		if task := f.ended(ended); task.Status != "Completed" {
			t.Errorf("after the cancels a task should be Completed: %+v", task)
		}
		f.want(f.orch("operator", "POST", "/tasks/"+ended+"/cancel", nil), 409)
		if calls := f.callsOf(""); len(calls) != 1 || !strings.HasPrefix(calls[0].Name, "fast-") {
			t.Errorf("the provider should have been asked once, for the last task: %+v", calls)
		}
		e.cancelOneOfABatch()
	}},
}

// cancelOneOfABatch cancels an operation that hangs: the one that depends on it ends, too, the
// other one is done, and nothing is undone.
func (e *env) cancelOneOfABatch() {
	e.t.Helper()
	kept := e.name("kept")
	b := e.batch("one-cancelled", op("a", "hang"), op("b", "fast", "a"), opNamed("c", "fast", kept))
	b["rollback_enabled"] = true
	id := e.execute(b)
	show := func() client.BatchRun {
		b, err := e.Orch(e.tokens["viewer"]).Batch(e.t.Context(), id)
		if err != nil {
			e.t.Fatal(err)
		}
		return b
	}
	e.await(10*time.Second, "a runs and c is done", func() bool {
		b := show()
		return b.Operations[0].Status == "Running" && b.Operations[2].Status == "Completed"
	})
	task := show().Operations[0].TaskID
	e.want(e.orch("viewer", "POST", "/tasks/"+task+"/cancel", nil), 403)
	if a := e.want(e.orch("operator", "POST", "/tasks/"+task+"/cancel", nil), 200); string(a.Data) != `"Task cancelled"` {
		e.t.Errorf("%s", a.Data)
	}
	end := e.batchEnded(id)
	if end.Status != "Cancelled" || end.Operations[0].Status != "Cancelled" || end.Operations[1].Status != "Cancelled" ||
		end.Operations[2].Status != "Completed" || end.Operations[2].RolledBackAt != nil || len(e.deletes(kept)) != 0 {
		e.t.Errorf("%+v", end)
	}
	e.want(e.orch("operator", "POST", "/tasks/"+task+"/cancel", nil), 409)
}

// submit submits a servers workflow for a fresh infra with one server at the provider of that name.
func (e *env) submit(provider string) string {
	e.t.Helper()
	infra := e.name(provider)
	writeInfra(e.t, e.Dir, infra, provider)
	id, err := e.Orch(e.tokens["operator"]).SubmitWorkflow(e.t.Context(), "servers",
		client.Workflow{Infra: infra, Settings: "config.k", Wait: true}, "")
	if err != nil {
		e.t.Fatal(err)
	}
	return id
}

// walk returns all tasks of a list, following its links.
func (e *env) walk(path string) []client.Task {
	e.t.Helper()
	var all []client.Task
	for path != "" {
		var rows []client.Task
		a := e.want(e.orch("viewer", "GET", path, nil), 200)
		a.into(e.t, &rows)
		all, path = append(all, rows...), next(e.t, a)
	}
	return all
}

// next returns path and query of the rel="next" link, or "".
func next(t *testing.T, a answer) string {
	t.Helper()
	for part := range strings.SplitSeq(a.Header.Get("Link"), ",") {
		target, rel, ok := strings.Cut(part, ";")
		if ok && strings.Contains(rel, `rel="next"`) {
			u, err := url.Parse(strings.Trim(strings.TrimSpace(target), "<>"))
			if err != nil {
				t.Fatal(err)
			}
			return u.RequestURI()
		}
	}
	return ""
}

// count returns X-Total-Count of a list of the orchestrator.
func (e *env) count(path string) int {
	e.t.Helper()
	a := e.want(e.orch("admin", http.MethodGet, path, nil), 200)
	n, err := strconv.Atoi(a.Header.Get("X-Total-Count"))
	if err != nil {
		e.t.Fatal(fmt.Errorf("X-Total-Count of %s: %w", path, err))
	}
	return n
}
