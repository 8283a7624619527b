package conformance

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
)

// users holds section 3.9.
var users = []behaviour{
	{118, "the_list_shows_no_secret_and_the_last_login", func(t *testing.T, e *env) {
		u := e.createUser(e.name("shown"), "viewer")
		find := func() map[string]json.RawMessage {
			var rows []map[string]json.RawMessage
			e.want(e.cc("admin", "GET", "/users?limit=1000", nil), 200).into(t, &rows)
			for _, r := range rows {
				if string(r["id"]) == `"`+u.ID+`"` {
					return r
				}
			}
			t.Fatal("not listed")
			return nil
		}
		row := find()
		if string(row["last_login"]) != "null" || row["created_at"] == nil {
			t.Errorf("%s", row)
		}
		for member := range row {
			for _, bad := range []string{"password", "hash", "secret", "totp"} {
				if strings.Contains(member, bad) {
					t.Errorf("the list shows %s", member)
				}
			}
		}
		e.login(u.Username, password)
		if string(find()["last_login"]) == "null" {
			t.Error("last_login is still null")
		}
	}},
	{119, "the_role_filter_works", func(t *testing.T, e *env) {
		var rows []client.User
		e.want(e.cc("admin", "GET", "/users?role=admin&limit=1000", nil), 200).into(t, &rows)
		for _, r := range rows {
			if !strings.Contains(strings.Join(r.Roles, " "), "admin") {
				t.Errorf("%+v", r)
			}
		}
		if a := e.want(e.cc("admin", "GET", "/users?role=nobody", nil), 200); string(a.Data) != "[]" || len(rows) == 0 {
			t.Errorf("%s", a.Data)
		}
	}},
	{120, "the_enabled_filter_works", func(t *testing.T, e *env) {
		u := e.createUser(e.name("off"), "viewer")
		e.want(e.cc("admin", "PUT", "/users/"+u.ID, map[string]any{"enabled": false}), 200)
		for _, on := range []bool{true, false} {
			var rows []client.User
			e.want(e.cc("admin", "GET", fmt.Sprintf("/users?enabled=%v&limit=1000", on), nil), 200).into(t, &rows)
			if len(rows) == 0 {
				t.Error("nobody")
			}
			for _, r := range rows {
				if r.Enabled != on {
					t.Errorf("%+v", r)
				}
			}
		}
		e.want(e.cc("admin", "GET", "/users?enabled=maybe", nil), 400)
	}},
	{121, "the_list_pages", func(t *testing.T, e *env) {
		a := e.want(e.cc("admin", "GET", "/users?limit=2", nil), 200)
		if a.Header.Get("X-Limit") != "2" || a.Header.Get("X-Offset") != "0" || a.Header.Get("X-Total-Count") == "" || next(t, a) == "" {
			t.Errorf("%v", a.Header)
		}
	}},
	{122, "a_created_user_can_sign_in", func(t *testing.T, e *env) {
		name := e.name("newuser")
		var row map[string]any
		e.want(e.cc("admin", "POST", "/users", newUser(name)), 201).into(t, &row)
		for _, m := range []string{"id", "username", "email", "roles", "enabled"} {
			if row[m] == nil {
				t.Errorf("%s is missing in %v", m, row)
			}
		}
		e.login(name, password)
	}},
	{123, "a_user_created_disabled_cannot_sign_in", func(t *testing.T, e *env) {
		name := e.name("asleep")
		body := newUser(name)
		body["enabled"] = false
		e.want(e.cc("admin", "POST", "/users", body), 201)
		e.want(e.logIn(name, password, ""), 401)
	}},
	{124, "names_and_addresses_are_unique_in_any_case", func(t *testing.T, e *env) {
		name := e.name("twin")
		e.want(e.cc("admin", "POST", "/users", newUser(name)), 201)
		for _, spelled := range []string{name, strings.ToUpper(name)} {
			body := newUser(spelled)
			body["email"] = e.name("other") + "@example.com"
			e.want(e.cc("admin", "POST", "/users", body), 409)
		}
		body := newUser(e.name("second"))
		body["email"] = name + "@example.com"
		e.want(e.cc("admin", "POST", "/users", body), 409)
	}},
	{125, "new_users_are_checked", func(t *testing.T, e *env) {
		for member, bads := range map[string][]any{"username": {"absent", ""}, "email": {"absent", "no-address", ""},
			"password": {"absent", "short"},
			"roles":    {"absent", []string{}, "admin", []string{"emperor"}}} {
			for _, bad := range bads {
				body := newUser(e.name("bad"))
				if body[member] = bad; bad == "absent" {
					delete(body, member)
				}
				if a := e.want(e.cc("admin", "POST", "/users", body), 422); !strings.Contains(string(a.Raw), member) {
					t.Errorf("%s = %v: %s", member, bad, a.Raw)
				}
			}
		}
	}},
	{126, "an_update_changes_only_what_is_given", func(t *testing.T, e *env) {
		u := e.createUser(e.name("changed"), "viewer")
		if a := e.want(e.cc("admin", "PUT", "/users/"+u.ID, map[string]any{"email": "new-" + u.Email}), 200); string(a.Data) != `"User updated successfully"` {
			t.Errorf("%s", a.Data)
		}
		var now client.User
		e.want(e.cc("admin", "GET", "/users/"+u.ID, nil), 200).into(t, &now)
		if now.Email != "new-"+u.Email || now.Username != u.Username || len(now.Roles) != 1 || !now.Enabled {
			t.Errorf("%+v", now)
		}
		e.want(e.cc("admin", "PUT", "/users/"+nowhere, map[string]any{"enabled": true}), 404)
		for _, bad := range []map[string]any{{}, {"email": "no-address"}, {"roles": []string{"emperor"}}, {"roles": []string{}}} {
			e.want(e.cc("admin", "PUT", "/users/"+u.ID, bad), 422)
		}
	}},
	{127, "disabling_ends_the_users_sessions", func(t *testing.T, e *env) {
		u := e.createUser(e.name("ended"), "viewer")
		tok := e.login(u.Username, password).Reveal()
		e.want(e.cc("admin", "PUT", "/users/"+u.ID, map[string]any{"enabled": false}), 200)
		e.want(e.refresh(tok), 401)
		e.want(e.cc("admin", "PUT", "/users/"+u.ID, map[string]any{"enabled": true}), 200)
		e.want(e.withToken(tok, e.ControlCenter.Address, "/users/"+u.ID), 401)
	}},
	{128, "the_name_never_changes", func(t *testing.T, e *env) {
		u := e.createUser(e.name("named"), "viewer")
		e.want(e.cc("admin", "PUT", "/users/"+u.ID, map[string]any{"username": "someone-else", "enabled": true}), 200, 422)
		var now client.User
		e.want(e.cc("admin", "GET", "/users/"+u.ID, nil), 200).into(t, &now)
		if now.Username != u.Username {
			t.Errorf("%+v", now)
		}
	}},
	{129, "a_deleted_user_is_gone_and_its_records_stay", func(t *testing.T, e *env) {
		u := e.createUser(e.name("deleted"), "viewer")
		tok := e.login(u.Username, password).Reveal()
		if a := e.want(e.cc("admin", "DELETE", "/users/"+u.ID, nil), 200); string(a.Data) != `"User deleted successfully"` {
			t.Errorf("%s", a.Data)
		}
		e.want(e.cc("admin", "GET", "/users/"+u.ID, nil), 404)
		e.want(e.cc("admin", "DELETE", "/users/"+u.ID, nil), 404)
		e.want(e.withToken(tok, e.ControlCenter.Address, "/users"), 401)
		e.await(5*time.Second, "its login is still in the audit log", func() bool {
			var rows []client.AuditRow
			e.want(e.cc("auditor", "GET", "/audit/logs?user_id="+u.ID, nil), 200).into(t, &rows)
			return len(rows) > 0
		})
	}},
	{130, "the_last_administrator_stays", func(t *testing.T, e *env) {
		f := e.fresh()
		self := f.userID("admin")
		f.want(f.cc("admin", "DELETE", "/users/"+self, nil), 409)
		f.want(f.cc("admin", "PUT", "/users/"+self, map[string]any{"enabled": false}), 409)
		f.want(f.cc("admin", "PUT", "/users/"+self, map[string]any{"roles": []string{"viewer"}}), 409, 403) // nobody changes the own roles
	}},
	{131, "only_administrators_write_users", func(t *testing.T, e *env) {
		for _, role := range []string{"operator", "developer", "viewer", "auditor"} {
			e.want(e.cc(role, "POST", "/users", newUser(e.name("no"))), 403)
			e.want(e.cc(role, "PUT", "/users/"+e.userID("viewer"), map[string]any{"enabled": false}), 403)
			e.want(e.cc(role, "DELETE", "/users/"+e.userID("viewer"), nil), 403)
		}
	}},
	{132, "nobody_raises_the_own_roles", func(t *testing.T, e *env) {
		for _, role := range []string{"operator", "developer", "viewer", "auditor"} {
			e.want(e.cc(role, "PUT", "/users/"+e.userID(role), map[string]any{"roles": []string{"admin"}}), 403)
		}
	}},
}

func newUser(name string) map[string]any {
	return map[string]any{"username": name, "email": name + "@example.com", "password": password, "roles": []string{"operator"},
		"enabled": true}
}
