package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
)

// rule returns a rule for one action; an empty condition is none.
func rule(effect, resource, action, condition string) map[string]any {
	r := map[string]any{"effect": effect, "resource": resource, "action": []string{action}}
	if condition != "" {
		r["condition"] = condition
	}
	return r
}

// policy makes a policy and returns its path and what removes it, which the behaviour defers: a
// test's cleanup comes after its context.
func (e *env) policy(rules ...any) (path string, gone func()) {
	e.t.Helper()
	var made client.Policy
	e.want(e.cc("admin", "POST", "/policies", map[string]any{"name": e.name("policy"), "version": "1.0.0", "rules": rules}), 201).into(e.t,
		&made)
	path = "/policies/" + made.ID
	return path, func() { e.want(e.cc("admin", "DELETE", path, nil), 200) }
}

// creates sends a dry run of a server's creation to the orchestrator, which asks the policies for
// its name.
func (e *env) creates(role, server string) answer {
	e.t.Helper()
	return e.orch(role, "POST", "/batch/execute", map[string]any{"name": "policies", "operations": []any{map[string]any{
		"id": "a", "type": "server_batch", "provider": "fast", "server_configs": []any{map[string]any{"name": server, "plan": "1xCPU-2GB",
			"zone": "de-fra1"}}, "dependencies": []string{}}}})
}

// within5s waits until the orchestrator decides so.
func (e *env) within5s(role, server string, status int) {
	e.t.Helper()
	e.await(5*time.Second, fmt.Sprintf("%s creating %s on the orchestrator is %d", role, server, status),
		func() bool { return e.creates(role, server).Status == status })
}

// grammar are conditions of Q18 with what they are for the suite's viewer, from 127.0.0.1 without a
// second factor.
var grammar = map[string]bool{
	"user.role == 'viewer'": true, "user.role != 'viewer'": false, "user.role == 'admin' || user.role == 'viewer'": true,
	"user.role == 'viewer' && request.mfa": false,
	"!request.mfa":                         true, "!(user.role == 'viewer')": false, "user.username == 'viewer-1'": true,
	"user.username == 'other'":  false,
	"user.id != ''":             true,
	"request.ip == '127.0.0.1'": true, "request.ip == '192.0.2.1'": false, "time.hour >= 0 && time.hour < 24": true,
	"time.hour > 23": false,
	"timestamp(user.username) < request.time": false, // cannot be evaluated
}

// policies holds section 3.10 and behaviour 106, which needs a policy.
var policies = []behaviour{
	{106, "without_mfa_all_works_but_what_a_policy_binds_to_it", func(t *testing.T, e *env) {
		u := e.createUser(e.name("factorless"), "operator")
		token := e.login(u.Username, password).Reveal()
		e.want(e.withToken(token, e.Orchestrator.Address, "/tasks"), 200)
		name := e.name("bound")
		_, gone := e.policy(rule("Deny", "servers:"+name, "create", "!request.mfa"))
		defer gone()
		e.within5s("operator", name, 403)
		if a := e.want(e.creates("operator", name), 403); !strings.Contains(a.Error, "enrol") {
			t.Errorf("no hint to enrol: %s", a.Error)
		}
		if a := e.want(e.creates("admin", name), 200); a.Data == nil {
			t.Error("with the second factor it is refused too")
		}
	}},
	{133, "create_answers_201_with_three_members", func(t *testing.T, e *env) {
		name := e.name("made")
		var row map[string]any
		e.want(e.cc("admin", "POST", "/policies",
			map[string]any{"name": name, "version": "1.0.0", "rules": []any{rule("Allow", "servers:*", "read", "")}}), 201).into(t, &row)
		if row["name"] != name || row["version"] != "1.0.0" || row["id"] == nil || len(row) != 3 {
			t.Errorf("%v", row)
		}
		e.want(e.cc("admin", "POST", "/policies",
			map[string]any{"name": strings.ToUpper(name), "version": "1.0.0", "rules": []any{rule("Allow", "servers:*", "read", "")}}), 409)
		e.want(e.cc("admin", "DELETE", fmt.Sprint("/policies/", row["id"]), nil), 200)
	}},
	{134, "the_list_shows_rules_as_sent", func(t *testing.T, e *env) {
		sent := []any{map[string]any{"effect": "Allow", "resource": "servers:web-*", "action": []any{"create", "read"},
			"condition": "user.role == 'operator'"}, map[string]any{"effect": "Deny", "resource": "servers:db-*", "action": []any{"*"}}}
		path, gone := e.policy(sent...)
		defer gone()
		var rows []map[string]any
		e.want(e.cc("admin", "GET", "/policies?limit=1000", nil), 200).into(t, &rows)
		at := slices.IndexFunc(rows, func(r map[string]any) bool { return "/policies/"+r["id"].(string) == path })
		if at < 0 {
			t.Fatal("it is not listed")
		}
		got, _ := json.Marshal(rows[at]["rules"])
		want, _ := json.Marshal(sent)
		if string(got) != string(want) || rows[at]["enabled"] != true || rows[at]["created_at"] == nil || rows[at]["version"] != "1.0.0" {
			t.Errorf("%v, sent %s", rows[at], want)
		}
	}},
	{135, "bad_policies_are_refused_and_the_text_says_where", func(t *testing.T, e *env) {
		good := func() map[string]any { return rule("Allow", "servers:*", "read", "") }
		with := func(member string, value any) []any {
			r := good()
			r[member] = value
			return []any{good(), r}
		}
		for name, c := range map[string]struct {
			body  map[string]any
			place string
		}{
			"no name":                {map[string]any{"version": "1.0.0", "rules": []any{good()}}, "/name"},
			"no rules":               {map[string]any{"name": "bad", "version": "1.0.0"}, "/rules"},
			"empty rules":            {map[string]any{"name": "bad", "version": "1.0.0", "rules": []any{}}, "/rules"},
			"effect Maybe":           {map[string]any{"rules": with("effect", "Maybe")}, "/rules/1/effect"},
			"effect in lower case":   {map[string]any{"rules": with("effect", "allow")}, "/rules/1/effect"},
			"action is no list":      {map[string]any{"rules": with("action", "read")}, "/rules/1/action"},
			"empty action":           {map[string]any{"rules": with("action", []string{})}, "/rules/1/action"},
			"resource without colon": {map[string]any{"rules": with("resource", "servers")}, "/rules/1/resource"},
			"broken condition":       {map[string]any{"rules": with("condition", "user.role ==")}, "/rules/1/condition"},
		} {
			if c.place != "/name" && c.body["name"] == nil {
				c.body["name"], c.body["version"] = e.name("bad"), "1.0.0"
			}
			a := e.want(e.cc("admin", "POST", "/policies", c.body), 422)
			if !strings.Contains(string(a.Raw), c.place) || c.place == "/rules/1/condition" && !strings.Contains(a.Error, "column") {
				t.Errorf("%s: %s does not say %s", name, a.Raw, c.place)
			}
		}
	}},
	{136, "the_condition_grammar", func(t *testing.T, e *env) {
		for _, unknown := range []string{"user.email == 'x'", "server.name == 'x'", "nothing", "user.name == ''"} {
			e.want(e.cc("admin", "POST", "/policies",
				map[string]any{"name": e.name("grammar"), "version": "1.0.0",
					"rules": []any{rule("Allow", "servers:*", "create", unknown)}}), 422)
		}
		var rules []any
		names := map[string]string{}
		for condition := range grammar {
			names[condition] = e.name("grammar")
			rules = append(rules, rule("Allow", "servers:"+names[condition], "create", condition),
				rule("Allow", "batches:*", "create", "user.role == 'viewer'"))
		}
		last := e.name("last")
		_, gone := e.policy(append(rules, rule("Allow", "servers:"+last, "create", ""),
			rule("Deny", "servers:"+last, "create", "timestamp(user.username) < request.time"))...)
		defer gone()
		for condition, holds := range grammar {
			if holds {
				e.within5s("viewer", names[condition], 200)
			}
		}
		for condition, holds := range grammar {
			if got := e.creates("viewer", names[condition]).Status == 200; got != holds {
				t.Errorf("%s holds for the viewer: %v, want %v", condition, got, holds)
			}
		}
		e.want(e.creates("operator", last), 403) // a Deny that cannot be evaluated
	}},
	{137, "deny_beats_allow_and_the_roles_default_is_the_rest", func(t *testing.T, e *env) {
		name := e.name("beaten")
		e.within5s("operator", name, 200)
		e.want(e.creates("viewer", name), 403)
		_, gone := e.policy(rule("Allow", "servers:"+name, "create", ""),
			rule("Deny", "servers:"+name, "create", "user.role == 'operator'"))
		defer gone()
		e.within5s("operator", name, 403)
		e.want(e.creates("admin", name), 200)
		e.want(e.creates("operator", name+"-other"), 200)
	}},
	{138, "patterns_of_resources", func(t *testing.T, e *env) {
		stem := e.name("glob")
		path, gone := e.policy(rule("Deny", "servers:"+stem+"-web-*", "create", "user.role == 'operator'"))
		defer gone()
		e.within5s("operator", stem+"-web-01", 403)
		e.want(e.creates("operator", stem+"-db-01"), 200)
		for _, all := range []string{"servers:*", "*:*"} {
			e.want(e.cc("admin", "PUT", path, map[string]any{"rules": []any{rule("Deny", all, "create", "user.role == 'operator'")}}), 200)
			e.within5s("operator", stem+"-db-02", 403)
			e.want(e.creates("admin", stem+"-db-02"), 200)
		}
	}},
	{139, "an_update_changes_what_is_given_and_invalid_rules_nothing", func(t *testing.T, e *env) {
		name := e.name("updated")
		path, gone := e.policy(rule("Deny", "servers:"+name, "create", ""))
		defer gone()
		read := func() client.Policy {
			var p client.Policy
			e.want(e.cc("admin", "GET", path, nil), 200).into(t, &p)
			return p
		}
		first := read()
		for _, c := range []struct {
			body          map[string]any
			name, version string
		}{
			{map[string]any{"name": name}, name, "1.0.1"},
			{map[string]any{"rules": []any{rule("Deny", "servers:"+name, "create", "user.role == 'operator'")}}, name, "1.0.2"},
			{map[string]any{"name": name + "-b", "rules": []any{rule("Deny", "servers:"+name, "create", "user.role != 'admin'")},
				"version": "2.0.0"}, name + "-b", "2.0.0"},
			{map[string]any{"enabled": true, "id": nowhere, "created_at": "1970-01-01T00:00:00Z", "revision": 99}, name + "-b", "2.0.1"},
		} {
			if a := e.want(e.cc("admin", "PUT", path, c.body), 200); string(a.Data) != `"Policy updated successfully"` {
				t.Errorf("%s", a.Data)
			}
			if p := read(); p.Name != c.name || p.Version != c.version || p.ID != first.ID || !p.CreatedAt.Equal(first.CreatedAt) {
				t.Errorf("%v: %+v", c.body, p)
			}
		}
		e.want(e.cc("admin", "PUT", "/policies/"+nowhere, map[string]any{"enabled": false}), 404)
		e.want(e.cc("admin", "PUT", path, map[string]any{}), 422)
		e.want(e.cc("admin", "PUT", path, map[string]any{"rules": []any{rule("Deny", "servers:"+name, "create", "user.role = 'x'")}}), 422)
		e.within5s("operator", name, 403)
		if p := read(); p.Version != "2.0.1" {
			t.Errorf("a refused update made %+v", p)
		}
		e.want(e.do(request{base: e.ControlCenter.Address, method: "PUT", path: path, role: "admin", body: map[string]any{"enabled": false}, header: `If-Match: "1"`}), 409)
	}},
	{140, "only_administrators_write_and_none_locks_all_out", func(t *testing.T, e *env) {
		path, gone := e.policy(rule("Deny", "servers:"+e.name("kept"), "create", ""))
		defer gone()
		for _, role := range []string{"operator", "developer", "viewer", "auditor"} {
			e.want(e.cc(role, "POST", "/policies",
				map[string]any{"name": e.name("theirs"), "version": "1.0.0", "rules": []any{rule("Allow", "*:*", "*", "")}}), 403)
			e.want(e.cc(role, "PUT", path, map[string]any{"enabled": false}), 403)
			e.want(e.cc(role, "DELETE", path, nil), 403)
			e.want(e.cc(role, "POST", path+"/revert", map[string]any{"revision": 1}), 403)
		}
		// Who may update one policy neither brings it back when it is deleted nor reads its rules.
		_, drop := e.policy(rule("Allow", "policies:"+strings.TrimPrefix(path, "/policies/"), "update", "user.role == 'developer'"))
		defer drop()
		e.want(e.cc("developer", "POST", path+"/revert", map[string]any{"revision": 1}), 403)
		for _, all := range []any{rule("Deny", "policies:*", "update", ""), rule("Deny", "*:*", "*", "user.role == 'admin'")} {
			if a := e.want(e.cc("admin", "POST", "/policies",
				map[string]any{"name": e.name("lock"), "version": "1.0.0", "rules": []any{all}}), 409); a.Code != "policy.lockout" {
				t.Errorf("%s", a.Raw)
			}
			if a := e.want(e.cc("admin", "PUT", path, map[string]any{"rules": []any{all}}), 409); a.Code != "policy.lockout" {
				t.Errorf("%s", a.Raw)
			}
		}
	}},
	{141, "each_role_at_each_kind_of_endpoint", func(t *testing.T, e *env) {
		roles := []string{"admin", "operator", "developer", "viewer", "auditor"}
		for _, c := range []struct {
			method, path string
			body         any
			cc           bool
			may          string // by role: y or n
		}{
			{"GET", "/tasks", nil, false, "yyyyy"}, {"GET", "/batch/operations", nil, false, "yyyyy"},
			{"GET", "/state/workflows/" + nowhere + "/snapshots", nil, false, "yyyyy"},
			{"GET", "/rollback/checkpoints", nil, false, "yyyyy"},
			{"POST", "/workflows/servers/create", map[string]any{"infra": "fast", "check_mode": true}, false, "yyynn"},
			{"POST", "/batch/execute", map[string]any{}, false, "yyynn"},
			{"POST", "/rollback/checkpoints", map[string]any{"name": "rights"}, false, "yynnn"},
			{"POST", "/rollback/execute", map[string]any{"checkpoint_id": nowhere}, false, "yynnn"},
			{"GET", "/users", nil, true, "ynnnn"}, {"POST", "/users", map[string]any{}, true, "ynnnn"},
			{"DELETE", "/users/" + nowhere, nil, true, "ynnnn"},
			{"GET", "/policies", nil, true, "ynnny"}, {"POST", "/policies", map[string]any{}, true, "ynnnn"},
			{"DELETE", "/policies/" + nowhere, nil, true, "ynnnn"},
			{"GET", "/audit/logs", nil, true, "ynnny"},
		} {
			for i, role := range roles {
				send := e.orch
				if c.cc {
					send = e.cc
				}
				a := send(role, c.method, c.path, c.body)
				if may := a.Status != 401 && a.Status != 403 && a.Status < 500; may != (c.may[i] == 'y') {
					t.Errorf("%s at %s %s: %d, want it allowed: %c", role, c.method, c.path, a.Status, c.may[i])
				}
			}
		}
	}},
}
