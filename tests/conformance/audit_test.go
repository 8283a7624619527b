package conformance

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/instant"
)

// audits holds section 3.11.
var audits = []behaviour{
	{142, "every_change_login_and_refusal_leaves_exactly_one_record", func(t *testing.T, e *env) {
		u := e.createUser(e.name("watched"), "operator")
		tok := e.login(u.Username, password).Reveal()
		e.want(e.logIn(u.Username, "not the right passphrase", ""), 401)
		as := func(base, method, path string, body any, statuses ...int) {
			e.want(e.do(request{base: base, method: method, path: path, token: tok, body: body}), statuses...)
		}
		as(e.Orchestrator.Address, "POST", "/rollback/checkpoints", map[string]any{"name": "x"}, 201)
		as(e.Orchestrator.Address, "POST", "/rollback/checkpoints", map[string]any{"name": ""}, 422)
		as(e.ControlCenter.Address, "POST", "/users", newUser(e.name("no")), 403)
		as(e.ControlCenter.Address, "GET", "/audit/logs", nil, 403)
		as(e.Orchestrator.Address, "POST", "/batch/operations/"+nowhere+"/cancel", nil, 404)
		as(e.ControlCenter.Address, "POST", "/auth/logout", nil, 200)
		e.allRecorded()
		var got []string
		for _, r := range e.audit("user_id=" + u.ID) {
			got = append(got, r.Action+" "+r.Result)
		}
		slices.Sort(got)
		want := []string{"audit.read denied", "auth.login success", "auth.logout success", "batch.cancel failure",
			"checkpoint.create failure", "checkpoint.create success", "user.create denied"}
		if !slices.Equal(got, want) {
			t.Errorf("the user's records are %q, want %q", got, want)
		}
		failed := slices.DeleteFunc(e.audit("action=auth.login&resource=users/"+u.ID),
			func(r client.AuditRow) bool { return r.Result == "success" })
		if len(failed) != 1 {
			t.Errorf("the failed login should be there once: %+v", failed)
		}
	}},
	{143, "reads_leave_no_record", func(t *testing.T, e *env) {
		reader := e.createUser(e.name("reader"), "admin")
		tok := e.login(reader.Username, password).Reveal()
		for _, p := range endpoints() {
			if p.method != "GET" {
				continue
			}
			if a := e.do(request{base: e.address(p), method: p.method, path: p.path, token: tok}); a.Status != 200 && a.Status != 404 {
				t.Errorf("GET %s answered %d, want 200 or 404", p.path, a.Status)
			}
		}
		e.allRecorded()
		if n := e.audited("user_id=" + reader.ID); n != 1 {
			t.Errorf("%d records of somebody who signed in and read, want the sign-in alone: %+v", n, e.audit("user_id="+reader.ID))
		}
	}},
	{144, "the_seven_members_are_always_there", func(t *testing.T, e *env) {
		var rows []map[string]json.RawMessage
		e.want(e.cc("auditor", "GET", "/audit/logs?limit=1000", nil), 200).into(t, &rows)
		for _, r := range rows {
			for _, m := range []string{"id", "timestamp", "user_id", "action", "resource", "result", "details"} {
				if r[m] == nil {
					t.Errorf("%s is missing in %s", m, r)
				}
			}
			if !strings.HasPrefix(string(r["details"]), "{") {
				t.Errorf("details are %s", r["details"])
			}
		}
	}},
	{145, "filters_work_alone_and_together", func(t *testing.T, e *env) {
		u := e.createUser(e.name("filtered"), "viewer")
		e.login(u.Username, password)
		admin, resource := e.userID("admin"), "users/"+u.ID
		mine := "action=user.create&user_id=" + admin + "&resource=" + resource
		e.await(10*time.Second, "the record of the new user is listed", func() bool { return e.audited(mine) == 1 })
		e.await(10*time.Second, "the sign-in is listed", func() bool { return e.audited("action=auth.login&user_id="+u.ID) == 1 })
		created := e.audit(mine)[0]
		by := map[string]func(client.AuditRow) bool{
			"action=user.create":   func(r client.AuditRow) bool { return r.Action == "user.create" },
			"user_id=" + admin:     func(r client.AuditRow) bool { return r.UserID == admin },
			"resource=" + resource: func(r client.AuditRow) bool { return r.Resource == resource },
		}
		for one, fits := range by {
			for other, fitsToo := range by { // each with itself is each alone
				query := one + "&" + other
				if one == other {
					query = one
				}
				rows := e.audit(query)
				if i := slices.IndexFunc(rows, func(r client.AuditRow) bool { return !fits(r) || !fitsToo(r) }); i >= 0 {
					t.Errorf("%s finds %s of %s on %s, among others", query, rows[i].Action, rows[i].UserID, rows[i].Resource)
				}
				if !slices.ContainsFunc(rows, func(r client.AuditRow) bool { return r.ID == created.ID }) {
					t.Errorf("%s does not find the record of the new user", query)
				}
			}
		}
		for _, none := range []string{"user_id=nobody", "action=no.such", "resource=none/none", "action=user.create&user_id=" + u.ID} {
			if rows := e.audit(none); len(rows) != 0 {
				t.Errorf("%s finds %d", none, len(rows))
			}
		}
	}},
	{146, "from_and_to_take_iso_8601", func(t *testing.T, e *env) {
		mine := "action=user.create&resource=users/" + e.createUser(e.name("dated"), "viewer").ID
		e.await(10*time.Second, "the record is listed", func() bool { return e.audited(mine) == 1 })
		at := e.audit(mine)[0].Timestamp.UTC() // everything is relative to it, whenever the test runs
		in := func(offset int, after time.Duration) string {
			return url.QueryEscape(at.Add(after).In(time.FixedZone("", offset*3600)).Format(time.RFC3339))
		}
		// as the command line and the API print it
		seconds, digits := url.QueryEscape(at.Format(time.RFC3339)), url.QueryEscape(instant.Format(at))
		day := func(after int) string { return at.AddDate(0, 0, after).Format(time.DateOnly) }
		for query, want := range map[string]int{
			"from=" + in(0, -time.Minute): 1, "from=" + in(0, time.Minute): 0,
			"to=" + in(0, -time.Minute): 0, "to=" + in(0, time.Minute): 1,
			// With the offset left out, each of these would be two hours off, on the other side of
			// the record.
			"from=" + in(2, -time.Minute): 1, "from=" + in(-2, time.Minute): 0,
			"to=" + in(2, -time.Minute): 0, "to=" + in(-2, time.Minute): 1,
			"from=" + day(0): 1, "from=" + day(1): 0, "to=" + day(-1): 0, "to=" + day(0): 1,
			"from=" + day(0) + "&to=" + day(0):                          1,
			"from=" + seconds + "&to=" + seconds:                        1,
			"from=" + digits + "&to=" + digits:                          1,
			"to=" + strings.ToLower(seconds):                            1,
			"to=" + at.Format("20060102T150405Z"):                       1,
			"to=" + at.Format("2006-01-02T15:04"):                       1,
			"to=" + at.Format("20060102"):                               1,
			"from=" + in(0, time.Minute) + "&to=" + in(0, -time.Minute): 0,
		} {
			if n := e.audited(mine + "&" + query); n != want {
				t.Errorf("%s finds %d records of %s, want %d", query, n, at.Format(time.RFC3339Nano), want)
			}
		}
		for _, bad := range []string{"from=yesterday", "to=2025-13-45"} {
			e.want(e.cc("auditor", "GET", "/audit/logs?"+bad, nil), 400)
		}
	}},
	{147, "records_are_listed_newest_first_in_pages", func(t *testing.T, e *env) {
		rows := e.audit("limit=1000")
		for i := 1; i < len(rows); i++ {
			if rows[i].Timestamp.After(rows[i-1].Timestamp.Add(2 * time.Second)) { // two origins, each in its order
				t.Errorf("row %d is newer than the one before: %s %s", i, rows[i].Timestamp, rows[i-1].Timestamp)
			}
		}
		a := e.want(e.cc("auditor", "GET", "/audit/logs?limit=2", nil), 200)
		if a.Header.Get("X-Total-Count") == "" || next(t, a) == "" {
			t.Errorf("%v", a.Header)
		}
	}},
	{148, "nobody_changes_records", func(t *testing.T, e *env) {
		for _, method := range []string{"PUT", "POST", "DELETE", "PATCH"} {
			e.want(e.cc("admin", method, "/audit/logs", nil), 405)
		}
	}},
	{149, "records_made_while_the_control_center_was_down_arrive", func(t *testing.T, e *env) {
		f := e.fresh()
		id := ""
		f.await(time.Minute, "a task ended while the control-center was away", func() bool {
			id = f.submit("slow")
			if err := f.ControlCenter.Kill(); err != nil {
				t.Fatal(err)
			}
			task, err := f.Orch(f.Token).Task(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			f.ended(id)
			if err := f.ControlCenter.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			return task.Status == "Pending" || task.Status == "Running"
		})
		f.await(15*time.Second, "the record of its outcome has arrived", func() bool {
			return slices.ContainsFunc(f.audit("action=server.create"), func(r client.AuditRow) bool {
				return r.Result == "success" && r.Origin == "orchestrator" && strings.Contains(string(r.Details), id)
			})
		})
	}},
	{150, "auditors_and_administrators_read", func(t *testing.T, e *env) {
		for _, role := range []string{"admin", "auditor"} {
			e.want(e.cc(role, "GET", "/audit/logs", nil), 200)
		}
		for _, role := range []string{"operator", "developer", "viewer"} {
			e.want(e.cc(role, "GET", "/audit/logs", nil), 403)
		}
	}},
	{151, "the_log_verifies_and_a_changed_record_is_found", func(t *testing.T, e *env) {
		f := e.fresh()
		f.ended(f.submit("fast"))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		data := filepath.Join(f.Dir, "orchestrator")
		verify := []string{"audit", "verify", "--data", data}
		if f.OrchestratorStore != "" {
			verify = append(verify, "--store", f.OrchestratorStore)
		}
		if out, err := f.Run(t.Context(), "orchestrator", verify...); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		if f.OrchestratorStore != "" {
			return // tampering with the engine's own files is not what an operator of a server can do
		}
		// One digit of one record is changed on disk, wherever the engine keeps it.
		changed := 0
		files, err := filepath.Glob(filepath.Join(data, "store", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if at := strings.Index(string(raw), `"action":"server.create"`); at >= 0 {
				raw[at+10] = 'S'
				if err := os.WriteFile(file, raw, 0o600); err != nil {
					t.Fatal(err)
				}
				changed++
			}
		}
		if changed == 0 {
			t.Fatal("the record is in no file of the store as text; find another way to change one")
		}
		if out, err := f.Run(t.Context(), "orchestrator", verify...); err == nil {
			t.Errorf("a changed record verifies: %s", out)
		}
	}},
}

// audit returns the audit rows for a query, as the auditor.
func (e *env) audit(query string) []client.AuditRow {
	e.t.Helper()
	if !strings.Contains(query, "limit=") {
		query += "&limit=1000"
	}
	var rows []client.AuditRow
	e.want(e.cc("auditor", "GET", "/audit/logs?"+query, nil), 200).into(e.t, &rows)
	return rows
}

// audited returns X-Total-Count of a query for audit rows, as the auditor.
func (e *env) audited(query string) int {
	e.t.Helper()
	a := e.want(e.cc("auditor", "GET", "/audit/logs?limit=1&"+query, nil), 200)
	n, err := strconv.Atoi(a.Header.Get("X-Total-Count"))
	if err != nil {
		e.t.Fatalf("X-Total-Count of %s: %v", query, err)
	}
	return n
}

// allRecorded waits until an act on each service is in the log: records of all that came before it
// would be too.
func (e *env) allRecorded() {
	e.t.Helper()
	for _, later := range []string{"checkpoints/" + e.checkpoint("later"), "users/" + e.createUser(e.name("later"), "viewer").ID} {
		e.await(10*time.Second, later+" is listed", func() bool { return e.audited("resource="+later) == 1 })
	}
}

// metrics holds section 3.12.
var metrics = []behaviour{
	{152, "a_prometheus_parser_reads_the_metrics", func(t *testing.T, e *env) {
		e.ended(e.submit("fast"))
		a := e.orch("admin", "GET", "/metrics", nil)
		if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
			t.Errorf("content type %q", a.Header.Get("Content-Type"))
		}
		families := read(e, parser().TextToMetricFamilies)
		tasks, durations := families["orchestrator_tasks_total"], families["orchestrator_task_duration_seconds"]
		if tasks.GetHelp() != "Total number of tasks" || tasks.GetType().String() != "COUNTER" ||
			durations.GetHelp() != "Task execution duration" || durations.GetType().String() != "HISTOGRAM" {
			t.Errorf("%v %v", tasks, durations)
		}
	}},
	{153, "counters_rise_with_tasks_and_never_fall", func(t *testing.T, e *env) {
		words := []string{"completed", "failed", "cancelled"}
		first, last := map[string]float64{}, map[string]float64{}
		look := func() {
			for _, w := range words {
				n := e.counter("orchestrator_tasks_total", w)
				if n < last[w] {
					t.Errorf("the %s tasks fell from %v to %v", w, last[w], n)
				}
				last[w] = n
			}
		}
		look()
		maps.Copy(first, last)
		for range 3 {
			e.ended(e.submit("fast"))
			look()
			e.ended(e.submit("broken"))
			look()
			id := e.submit("hang")
			e.want(e.orch("operator", "POST", "/tasks/"+id+"/cancel", nil), 200)
			e.ended(id)
			look()
		}
		e.await(5*time.Second, "each counter has risen by three", func() bool {
			look()
			return !slices.ContainsFunc(words, func(w string) bool { return last[w] < first[w]+3 })
		})
	}},
	{154, "buckets_are_cumulative", func(t *testing.T, e *env) {
		completed := e.counter("orchestrator_tasks_total", "completed")
		e.ended(e.submit("fast"))
		e.await(5*time.Second, "the task is counted", func() bool { return e.counter("orchestrator_tasks_total", "completed") > completed })
		families := read(e, parser().TextToMetricFamilies)
		ended := uint64(0)
		for _, m := range families["orchestrator_task_duration_seconds"].GetMetric() {
			h, last, bounds := m.GetHistogram(), uint64(0), []float64{}
			for _, b := range h.GetBucket() {
				if b.GetCumulativeCount() < last {
					t.Errorf("the bucket up to %v has %d, the one before it %d", b.GetUpperBound(), b.GetCumulativeCount(), last)
				}
				last = b.GetCumulativeCount()
				bounds = append(bounds, b.GetUpperBound())
			}
			if !slices.Contains(bounds, 10) || !slices.Contains(bounds, 30) || !math.IsInf(bounds[len(bounds)-1], 1) {
				t.Errorf("the bounds are %v, want 10 and 30 among them and +Inf at the end", bounds)
			}
			if h.SampleCount == nil || h.GetSampleCount() != last {
				t.Errorf("the last bucket has %d, _count is %d, want the same", last, h.GetSampleCount())
			}
			if h.SampleSum == nil {
				t.Error("there is no _sum")
			}
			ended += last
		}
		if ended == 0 {
			t.Error("no task is in the histogram")
		}
	}},
	{155, "label_values_are_from_a_fixed_set", func(t *testing.T, e *env) {
		name := e.name("label")
		e.batchEnded(e.execute(e.batch(name, opNamed(name, "fast", name))))
		if text := string(e.orch("admin", "GET", "/metrics", nil).Raw); strings.Contains(text, name) ||
			strings.Contains(text, e.userID("operator")) {
			t.Error("the metrics hold what users chose")
		}
	}},
	{156, "metrics_need_a_token", func(t *testing.T, e *env) {
		e.want(e.orch("", "GET", "/metrics", nil), 401)
	}},
}

// parser returns a Prometheus parser, read what one of its methods makes of the orchestrator's
// metrics.
func parser() *expfmt.TextParser {
	p := expfmt.NewTextParser(model.LegacyValidation)
	return &p
}

func read[T any](e *env, parse func(io.Reader) (T, error)) T {
	e.t.Helper()
	parsed, err := parse(bytes.NewReader(e.orch("admin", "GET", "/metrics", nil).Raw))
	if err != nil {
		e.t.Fatal(err)
	}
	return parsed
}

// counter returns a counter of the orchestrator, that of a status if it has one; what was never
// counted is 0.
func (e *env) counter(name, status string) float64 {
	e.t.Helper()
	for _, m := range read(e, parser().TextToMetricFamilies)[name].GetMetric() {
		if len(m.GetLabel()) == 0 && status == "" || len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == status {
			return m.GetCounter().GetValue()
		}
	}
	return 0
}
