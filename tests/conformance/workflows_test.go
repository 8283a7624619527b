package conformance

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
)

// workflows holds section 3.4.
var workflows = []behaviour{
	{38, "the_documented_bodies_answer_with_a_bare_id_within_a_second", func(t *testing.T, e *env) {
		for path, body := range map[string]map[string]any{
			"/workflows/servers/create":  servers("hanging"),
			"/workflows/taskserv/create": {"operation": "create", "taskserv": "kubernetes", "infra": "hanging", "settings": "config.k", "check_mode": false, "wait": true},
			"/workflows/cluster/create":  {"operation": "create", "cluster_type": "buildkit", "infra": "hanging", "settings": "config.k", "check_mode": false, "wait": true},
		} {
			began := time.Now()
			var id string
			e.want(e.orch("operator", "POST", path, body), 200).into(t, &id)
			if took := time.Since(began); took > time.Second {
				t.Errorf("%s took %s", path, took)
			}
			if len(id) != 36 {
				t.Errorf("%s answered %q", path, id)
			}
			e.want(e.orch("operator", "POST", "/tasks/"+id+"/cancel", nil), 200, 409)
		}
	}},
	{39, "the_id_is_readable_at_once_and_after_kill_9", func(t *testing.T, e *env) {
		f := e.fresh()
		id, err := f.Orch(f.Token).SubmitWorkflow(t.Context(), "servers", client.Workflow{Infra: "slow", Settings: "config.k", Wait: true}, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Orchestrator.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := f.Orchestrator.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Orch(f.Token).Task(t.Context(), id); err != nil {
			t.Errorf("after kill -9 the task is gone: %v", err)
		}
	}},
	{40, "wait_decides_when_the_task_is_complete_not_when_the_answer_comes", func(t *testing.T, e *env) {
		for _, wait := range []bool{false, true} {
			began := time.Now()
			b := servers("fast")
			b["wait"] = wait
			var id string
			e.want(e.orch("operator", "POST", "/workflows/servers/create", b), 200).into(t, &id)
			if time.Since(began) > time.Second {
				t.Error("the answer waited")
			}
			if task := e.ended(id); task.Status != "Completed" {
				t.Errorf("wait %v: %+v", wait, *task.Error)
			}
		}
	}},
	{41, "check_mode_says_what_would_be_done_and_touches_nothing", func(t *testing.T, e *env) {
		before := e.callCount("")
		b := servers("fast")
		b["check_mode"] = true
		var id string
		e.want(e.orch("operator", "POST", "/workflows/servers/create", b), 200).into(t, &id)
		task := e.ended(id)
		if task.Status != "Completed" || task.Output == nil || *task.Output == "" {
			t.Errorf("%+v", task)
		}
		if after := e.callCount(""); after != before {
			t.Errorf("the provider saw %d mutating calls", after-before)
		}
	}},
	{42, "equal_submissions_are_two_tasks_unless_the_key_is_the_same", func(t *testing.T, e *env) {
		if a, b := e.submit("fast"), e.submit("fast"); a == b {
			t.Error("two submissions share an id")
		}
		keyed := func(body any) answer {
			return e.do(request{base: e.Orchestrator.Address, method: "POST", path: "/workflows/servers/create", role: "operator", body: body, header: map[string]string{"Idempotency-Key": "B42-" + e.Dir}})
		}
		first := e.want(keyed(servers("fast")), 200)
		second := e.want(keyed(servers("fast")), 200)
		if string(first.Raw) != string(second.Raw) || second.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s then %s, replayed %q", first.Raw, second.Raw, second.Header.Get("Idempotency-Replayed"))
		}
		e.want(keyed(servers("slow")), 422)
	}},
	{43, "names_are_required_and_must_be_plain", func(t *testing.T, e *env) {
		for path, member := range map[string]string{"/workflows/servers/create": "infra", "/workflows/taskserv/create": "taskserv", "/workflows/cluster/create": "cluster_type"} {
			for _, bad := range []any{nil, "", 7, "a/b", "..", "../x", "/etc", "absent"} {
				b := map[string]any{"infra": "production", "taskserv": "kubernetes", "cluster_type": "buildkit"}
				for _, other := range []string{"taskserv", "cluster_type"} {
					if !strings.Contains(path, strings.TrimSuffix(other, "_type")) {
						delete(b, other)
					}
				}
				if b[member] = bad; bad == "absent" {
					delete(b, member)
				}
				if a := e.want(e.orch("operator", "POST", path, b), 422); !strings.Contains(string(a.Raw), member) {
					t.Errorf("%s with %v: %s", path, bad, a.Raw)
				}
			}
		}
	}},
	{44, "settings_stay_inside_the_infra", func(t *testing.T, e *env) {
		for _, bad := range []string{"../config.k", "a/config.k", "/etc/passwd", "..", "a\\b"} {
			b := servers("production")
			b["settings"] = bad
			e.want(e.orch("operator", "POST", "/workflows/servers/create", b), 422)
		}
		b := servers("fast")
		delete(b, "settings")
		e.want(e.orch("operator", "POST", "/workflows/servers/create", b), 200)
	}},
	{45, "flags_are_booleans", func(t *testing.T, e *env) {
		for member, bad := range map[string]any{"check_mode": "true", "wait": 1} {
			b := servers("production")
			b[member] = bad
			e.want(e.orch("operator", "POST", "/workflows/servers/create", b), 422)
		}
	}},
	{46, "unknown_things_make_the_task_fail_by_name", func(t *testing.T, e *env) {
		for path, body := range map[string]map[string]any{
			"/workflows/servers/create":  servers("no-such-infra"),
			"/workflows/taskserv/create": {"taskserv": "no-such-taskserv", "infra": "fast"},
			"/workflows/cluster/create":  {"cluster_type": "no-such-cluster", "infra": "fast"},
		} {
			a := e.want(e.orch("operator", "POST", path, body), 200, 422)
			text := a.Error
			if a.Status == 200 {
				var id string
				a.into(t, &id)
				task := e.ended(id)
				if task.Status != "Failed" {
					t.Errorf("%s: %+v", path, task)
					continue
				}
				text = *task.Error
			}
			if !strings.Contains(text, "no-such-") {
				t.Errorf("%s: the text names nothing: %s", path, text)
			}
		}
	}},
	{47, "the_operation_decides_and_defaults_to_create", func(t *testing.T, e *env) {
		for _, verb := range []string{"create", "check", "delete", "update"} {
			var id string
			e.want(e.orch("operator", "POST", "/workflows/taskserv/create", map[string]any{"operation": verb, "taskserv": "containerd", "infra": "fast"}), 200).into(t, &id)
			e.ended(id)
		}
		for _, bad := range []string{"destroy", ""} {
			e.want(e.orch("operator", "POST", "/workflows/taskserv/create", map[string]any{"operation": bad, "taskserv": "containerd", "infra": "fast"}), 422)
		}
	}},
	{48, "shell_characters_are_taken_literally", func(t *testing.T, e *env) {
		trap := e.Dir + "/trap"
		for _, payload := range []string{"$(touch " + trap + ")", "`touch " + trap + "`", "x; touch " + trap, "x && touch " + trap, "x | tee " + trap, "x\ntouch " + trap, "-x", "*"} {
			b := servers(payload)
			if a := e.orch("operator", "POST", "/workflows/servers/create", b); a.Status == 200 {
				var id string
				a.into(t, &id)
				e.ended(id)
			} else {
				e.want(a, 422)
			}
			name := strings.NewReplacer("/", "_", "\n", "_").Replace(payload)
			id := e.execute(e.batch(name, map[string]any{"id": "a", "type": "server_batch", "provider": "fast", "server_configs": []any{map[string]any{"name": "s", "plan": payload, "zone": payload}}}))
			e.batchEnded(id)
		}
		if exists(trap) {
			t.Error("a payload was run by a shell")
		}
	}},
	{49, "the_servers_task_is_named_and_shows_its_arguments", func(t *testing.T, e *env) {
		for _, wait := range []bool{true, false} {
			b := servers("fast")
			b["wait"] = wait
			var id string
			e.want(e.orch("operator", "POST", "/workflows/servers/create", b), 200).into(t, &id)
			task := e.ended(id)
			args := strings.Join(task.Args, " ")
			if task.Name != "create_servers" || !strings.Contains(args, "--infra fast") || strings.Contains(args, "--wait") != wait {
				t.Errorf("%s %s", task.Name, args)
			}
		}
	}},
	{50, "a_provider_error_is_the_tasks_error_after_retries", func(t *testing.T, e *env) {
		task := e.ended(e.submit("down"))
		if task.Status != "Failed" || task.Error == nil || !strings.Contains(*task.Error, "simulated") {
			t.Errorf("%+v", task)
		}
	}},
	{51, "fifty_submissions_at_once_all_end", func(t *testing.T, e *env) {
		var mu sync.Mutex
		ids := map[string]bool{}
		var all sync.WaitGroup
		for i := range 50 {
			infra := fmt.Sprintf("%s-%d", e.name("fifty"), i)
			writeInfra(t, e.Dir, infra, "fast")
			all.Go(func() {
				role := []string{"operator", "developer", "admin"}[i%3]
				id, err := e.Orch(e.tokens[role]).SubmitWorkflow(t.Context(), "servers", client.Workflow{Infra: infra}, "")
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				ids[id] = true
			})
		}
		all.Wait()
		if len(ids) != 50 {
			t.Fatalf("%d ids", len(ids))
		}
		for id := range ids {
			if task := e.ended(id); task.Status != "Completed" {
				t.Errorf("%+v", task)
			}
		}
	}},
	{52, "a_viewer_is_refused_and_that_is_recorded", func(t *testing.T, e *env) {
		before := e.count("/tasks")
		e.want(e.orch("viewer", "POST", "/workflows/servers/create", servers("fast")), 403)
		if e.count("/tasks") != before {
			t.Error("a task appeared")
		}
		e.await(10*time.Second, "the refusal is in the audit log", func() bool {
			var rows []client.AuditRow
			e.want(e.cc("auditor", "GET", "/audit/logs?user_id="+e.userID("viewer"), nil), 200).into(t, &rows)
			for _, r := range rows {
				if r.Result == "denied" && r.Origin == "orchestrator" {
					return true
				}
			}
			return false
		})
	}},
}
