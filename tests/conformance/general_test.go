package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/token/tokentest"
)

// general holds section 3.1: what is true of every endpoint.
var general = []behaviour{
	{1, "without_a_token_everything_but_the_open_list_is_refused", func(t *testing.T, e *env) {
		for _, p := range endpoints() {
			if a := e.call(p, ""); !p.open {
				if e.want(a, 401); !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("%s %s: WWW-Authenticate is %q", p.method, p.path, a.Header.Get("WWW-Authenticate"))
				}
			} else if a.Status == 401 && !strings.HasPrefix(p.path, "/auth/") {
				t.Errorf("%s %s is open but refused", p.method, p.path)
			}
		}
	}},
	{2, "forged_and_damaged_tokens_are_refused", func(t *testing.T, e *env) {
		attacks := tokentest.Attacks(e.Token.Reveal(), e.signingKey())
		if len(attacks) < 40 {
			t.Fatalf("only %d attacks", len(attacks))
		}
		for _, p := range []endpoint{{service: "orch", method: "GET", path: "/tasks"},
			{service: "orch", method: "POST", path: "/rollback/checkpoints", body: map[string]any{"name": "attack"}},
			{service: "cc", method: "GET", path: "/users"}, {service: "cc", method: "POST", path: "/auth/logout"}} {
			for _, attack := range attacks {
				if !headerSafe(attack.Token) || strings.TrimSpace(attack.Token) == e.Token.Reveal() {
					continue // blanks around a value belong to the header, not to the token
				}
				if a := e.callWith(p, "Bearer "+attack.Token); a.Status != 401 && a.Status != 431 && a.Status != 400 {
					t.Errorf("%s: %s %s answered %d", attack.Name, p.method, p.path, a.Status)
				}
			}
		}
	}},
	{3, "tokens_of_disabled_and_deleted_users_die_within_5s", func(t *testing.T, e *env) {
		for _, how := range []string{"disable", "delete"} {
			name := e.name("leaver")
			u := e.createUser(name, "operator")
			tok := e.login(name, password).Reveal()
			if a := e.do(request{base: e.Orchestrator.Address, method: "GET", path: "/tasks", token: tok}); a.Status != 200 {
				t.Fatalf("a fresh token is refused: %s", a.Raw)
			}
			if how == "disable" {
				e.want(e.cc("admin", "PUT", "/users/"+u.ID, map[string]any{"enabled": false}), 200)
			} else {
				e.want(e.cc("admin", "DELETE", "/users/"+u.ID, nil), 200)
			}
			if a := e.do(request{base: e.ControlCenter.Address, method: "GET", path: "/users", token: tok}); a.Status != 401 &&
				a.Status != 403 {
				t.Errorf("%s: at home the next request answers %d", how, a.Status)
			}
			e.await(5*time.Second, how+" reaches the orchestrator", func() bool {
				s := e.do(request{base: e.Orchestrator.Address, method: "GET", path: "/tasks", token: tok}).Status
				return s == 401 || s == 403
			})
		}
	}},
	{4, "the_scheme_is_bearer_in_any_case_and_nothing_else", func(t *testing.T, e *env) {
		p := endpoint{service: "orch", method: "GET", path: "/tasks"}
		tok := e.tokens["viewer"].Reveal()
		for _, scheme := range []string{"Bearer", "bearer", "BEARER", "bEaReR"} {
			e.want(e.callWith(p, scheme+" "+tok), 200)
		}
		for _, bad := range []string{"Basic " + tok, "Bearer", "Bearer ", tok, "Bearer " + tok + " " + tok, "Bearer " + tok + ", Bearer " +
			tok} {
			if a := e.want(e.callWith(p, bad), 401); !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("no WWW-Authenticate: Bearer for %.20q", bad)
			}
		}
	}},
	{5, "every_answer_is_one_envelope", func(t *testing.T, e *env) {
		for _, p := range endpoints() {
			if p.path == "/metrics" {
				continue
			}
			for _, role := range []string{"", "viewer", "admin"} {
				if role != "" && p.path == "/auth/logout" {
					continue // it would end the suite's session
				}
				a := e.call(p, role)
				if !utf8.Valid(a.Raw) || !json.Valid(a.Raw) {
					t.Errorf("%s %s as %q: not JSON: %s", p.method, p.path, role, a.Raw)
				}
				var m map[string]json.RawMessage
				if err := json.Unmarshal(a.Raw, &m); err != nil {
					t.Fatal(err)
				}
				ok := string(m["success"]) == "true"
				if !ok && string(m["success"]) != "false" {
					t.Errorf("%s %s: success is %s", p.method, p.path, m["success"])
				}
				if ok != (a.Status < 400) || ok == (m["error"] != nil) || ok != (m["data"] != nil) {
					t.Errorf("%s %s as %q: status %d with %s", p.method, p.path, role, a.Status, a.Raw)
				}
			}
		}
		e.shapes(t)
	}},
	{6, "the_content_type_is_json_or_the_vendor_type", func(t *testing.T, e *env) {
		for _, accept := range []string{"", "application/json", "application/vnd.provisioning.v1+json"} {
			want := "application/json"
			if strings.Contains(accept, "vnd") {
				want = accept
			}
			for path, status := range map[string]int{"/tasks": 200, "/nothing-here": 404, "/tasks/" + nowhere: 404} {
				a := e.do(request{base: e.Orchestrator.Address, method: "GET", path: path, role: "viewer", header: "Accept: " + accept})
				if a.Status != status || !strings.HasPrefix(a.Header.Get("Content-Type"), want) {
					t.Errorf("Accept %q of %s: %d %s", accept, path, a.Status, a.Header.Get("Content-Type"))
				}
			}
		}
		if a := e.orch("viewer", "DELETE", "/tasks", nil); !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
			t.Errorf("405 has content type %s", a.Header.Get("Content-Type"))
		}
	}},
	{7, "unknown_paths_are_404_and_unknown_methods_405_with_allow", func(t *testing.T, e *env) {
		for _, path := range []string{"/nothing", "/tasks/a/b/c", "/auth", "/batch"} {
			e.want(e.orch("admin", "GET", path, nil), 404)
		}
		e.want(e.orch("admin", "POST", "/auth/login", map[string]any{}), 404)
		for _, p := range endpoints() {
			for _, method := range []string{"PATCH", "OPTIONS", "TRACE"} {
				a := e.want(e.do(request{base: e.address(p), method: method, path: p.path, role: "admin"}), 405)
				for _, known := range endpoints() {
					if known.service == p.service && known.path == p.path &&
						!strings.Contains(", "+a.Header.Get("Allow")+",", ", "+known.method+",") {
						t.Errorf("%s %s: Allow is %q, without %s", method, p.path, a.Header.Get("Allow"), known.method)
					}
				}
			}
		}
	}},
	{8, "slashes_never_turn_a_post_into_a_get", func(t *testing.T, e *env) {
		before := e.count("/rollback/checkpoints")
		for _, path := range []string{"/rollback/checkpoints/", "/rollback//checkpoints", "//rollback/checkpoints"} {
			if a := e.orch("operator", "POST", path, map[string]any{"name": "slash"}); a.Status >= 300 && a.Status < 400 &&
				a.Status != 307 && a.Status != 308 {
				t.Errorf("POST %s is redirected with %d", path, a.Status)
			} else if a.Status == 200 {
				t.Errorf("POST %s answered like a GET: %s", path, a.Raw)
			}
		}
		if after := e.count("/rollback/checkpoints"); after > before+1 {
			t.Errorf("%d checkpoints were made", after-before)
		}
		e.want(e.orch("viewer", "GET", "/tasks/", nil), 200, 404)
	}},
	{9, "head_has_the_headers_and_no_body", func(t *testing.T, e *env) {
		for _, p := range endpoints() {
			if p.method != "GET" {
				continue
			}
			role := "admin"
			get := e.call(p, role)
			p.method = "HEAD"
			head := e.call(p, role)
			if head.Status != get.Status || len(head.Raw) != 0 {
				t.Errorf("HEAD %s: %d with %d bytes, GET has %d", p.path, head.Status, len(head.Raw), get.Status)
			}
			for name := range get.Header {
				switch name { // what differs from one answer to the next, and the length of figures that move
				case "Date", "X-Request-Id", "Link", "X-Total-Count", "Content-Length":
					if (head.Header.Get(name) == "") != (get.Header.Get(name) == "") {
						t.Errorf("HEAD %s has %s %q, GET has %q", p.path, name, head.Header.Get(name), get.Header.Get(name))
					}
				default:
					if head.Header.Get(name) != get.Header.Get(name) {
						t.Errorf("HEAD %s has %s %q, GET has %q", p.path, name, head.Header.Get(name), get.Header.Get(name))
					}
				}
			}
		}
	}},
	{10, "accept_absent_any_or_v1_is_v1_and_v9_alone_is_406", func(t *testing.T, e *env) {
		for _, accept := range []string{"", "*/*", "application/json", "application/json, text/plain, */*", "application/*",
			"application/vnd.provisioning.v1+json",
			"application/vnd.provisioning.v9+json, application/vnd.provisioning.v1+json"} {
			e.want(e.do(request{base: e.Orchestrator.Address, method: "GET", path: "/tasks", role: "viewer", header: "Accept: " + accept}),
				200)
		}
		e.want(e.do(request{base: e.Orchestrator.Address, method: "GET", path: "/tasks", role: "viewer",
			header: "Accept: application/vnd.provisioning.v9+json"}), 406)
	}},
	{11, "a_get_with_a_json_content_type_and_no_body_is_served", func(t *testing.T, e *env) {
		e.want(e.do(request{base: e.Orchestrator.Address, method: "GET", path: "/tasks", role: "viewer",
			header: "Content-Type: application/json"}), 200)
	}},
	{12, "bodies_that_are_no_json_object_are_refused", func(t *testing.T, e *env) {
		for _, body := range []string{`{"infra":`, ``, `not json`, `{"infra":"production"} trailing`, "{\"infra\":\"\xff\"}", `{'infra':'x'}`} {
			e.want(e.orch("operator", "POST", "/workflows/servers/create", body), 400)
		}
		for _, body := range []string{`["infra"]`, `"text"`, `null`, `7`} {
			e.want(e.orch("operator", "POST", "/workflows/servers/create", body), 400, 422)
		}
	}},
	{13, "other_content_types_are_refused", func(t *testing.T, e *env) {
		for _, ct := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
			e.want(e.do(request{base: e.Orchestrator.Address, method: "POST", path: "/workflows/servers/create", role: "operator", body: `{"infra":"production"}`, header: "Content-Type: " + ct}), 400, 415)
		}
	}},
	{14, "too_large_or_too_deep_bodies_are_refused_and_the_process_lives", func(t *testing.T, e *env) {
		e.want(e.orch("operator", "POST", "/rollback/checkpoints", `{"name":"`+strings.Repeat("x", 2<<20)+`"}`), 413)
		e.want(e.orch("operator", "POST", "/rollback/checkpoints", `{"name":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)+`}`), 400, 422)
		e.want(e.orch("operator", "POST", "/batch/execute", `{"name":"`+strings.Repeat("x", 9<<20)+`"}`), 413)
		e.want(e.orch("", "GET", "/health", nil), 200)
	}},
	{15, "unknown_and_duplicate_members_get_a_clear_answer", func(t *testing.T, e *env) {
		// Decision 19 is stricter than the contract's tolerance: unknown members are named, not
		// dropped.
		a := e.want(e.orch("operator", "POST", "/rollback/checkpoints", `{"name":"x","nmae":"y"}`), 422)
		if !strings.Contains(string(a.Raw), "nmae") {
			t.Errorf("the unknown member is not named: %s", a.Raw)
		}
		e.want(e.orch("operator", "POST", "/rollback/checkpoints", `{"name":"x","name":"y"}`), 400)
		u := e.createUser(e.name("members"), "viewer")
		e.want(e.cc("admin", "PUT", "/users/"+u.ID,
			map[string]any{"id": u.ID, "username": u.Username, "enabled": true, "created_at": "2025-09-26T10:00:00Z"}), 200)
	}},
	{16, "a_member_of_the_wrong_type_is_refused_by_name", func(t *testing.T, e *env) {
		account := e.createUser(e.name("typed"), "viewer").ID
		for _, p := range e.bodies(account) {
			mistype("", p.body, nil, func(pointer string, wrong any) {
				if a := e.call(p, "admin"); a.Status != 422 || !strings.Contains(a.Error, pointer) {
					t.Errorf("%s %s with %#v at %s: %d %s; want 422 and the place in the text", p.method, p.path, wrong, pointer, a.Status,
						a.Raw)
				}
			})
		}
	}},
	{17, "strange_texts_are_refused_or_kept_as_they_are", func(t *testing.T, e *env) {
		for _, text := range []string{"null \u0000 inside", "line\nbreak", "right \u202e left", strings.Repeat("long", 1<<18), "emoji 🚀",
			"quote ' \" \\"} {
			a := e.orch("operator", "POST", "/rollback/checkpoints", map[string]any{"name": "strange", "description": text})
			if a.Status == 422 || a.Status == 400 || a.Status == 413 {
				continue
			}
			var id string
			e.want(a, 201).into(t, &id)
			var c struct{ Description string }
			e.want(e.orch("operator", "GET", "/rollback/checkpoints/"+id, nil), 200).into(t, &c)
			if c.Description != text {
				t.Errorf("%.40q came back as %.40q", text, c.Description)
			}
		}
	}},
	{18, "no_output_holds_a_secret", func(t *testing.T, e *env) {
		name := e.name("canary")
		secretPassword := "quartz-7f3a-lantern-" + id.Random() // a password may not be made of the name
		e.want(e.cc("admin", "POST", "/users",
			map[string]any{"username": name, "email": name + "@example.com", "password": secretPassword, "roles": []string{"viewer"}}), 201)
		tok := e.login(name, secretPassword).Reveal()
		e.want(e.do(request{base: e.Orchestrator.Address, method: "GET", path: "/tasks?token=" + tok, token: tok}), 200, 400)
		e.want(e.cc("", "POST", "/auth/login", map[string]any{"username": name, "password": secretPassword + "x"}), 401)
		e.want(e.cc("admin", "POST", "/users",
			map[string]any{"username": name, "email": "x", "password": secretPassword, "roles": []string{"viewer"}}), 422, 409)
		canaries := []string{secretPassword, tok[strings.LastIndex(tok, ".")+1:], e.Admin.TOTPSecret, e.Admin.Password}
		texts := map[string]string{"audit": string(e.cc("admin", "GET", "/audit/logs?limit=1000", nil).Raw),
			"users":   string(e.cc("admin", "GET", "/users?limit=1000", nil).Raw),
			"metrics": string(e.orch("admin", "GET", "/metrics", nil).Raw)}
		for _, log := range []string{e.ControlCenter.Log, e.Orchestrator.Log} {
			raw, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.Base(log)] = string(raw)
		}
		for where, text := range texts {
			for _, c := range canaries {
				if strings.Contains(text, c) {
					t.Errorf("%s holds the secret %.6s…", where, c)
				}
			}
		}
	}},
	{19, "error_texts_show_no_internals", func(t *testing.T, e *env) {
		seen := map[int]bool{}
		look := func(p endpoint, role string) {
			a := e.call(p, role)
			if a.Status < 400 {
				return
			}
			seen[a.Status] = true
			for _, leak := range []string{"goroutine ", ".go:", "SELECT ", e.Dir, e.Bin, "pebble", "panic", "unmarshal", "Go struct",
				"github.com/"} {
				if strings.Contains(string(a.Raw), leak) {
					t.Errorf("%s %s as %q shows %q: %s", p.method, p.path, role, leak, a.Raw)
				}
			}
		}
		for _, p := range endpoints() {
			look(p, "")
			if p.path != "/auth/logout" { // it would end the suite's sessions
				look(p, "viewer")
				look(p, "admin")
			}
			look(endpoint{service: p.service, method: "PATCH", path: p.path}, "admin")
			if p.method == "GET" {
				look(endpoint{service: p.service, method: "GET", path: p.path + "?limit=none&from=yesterday"}, "admin")
			}
		}
		u := e.createUser(e.name("known"), "viewer")
		for _, p := range e.bodies(u.ID) {
			for _, body := range []any{`{"name":`, `{"nmae":"x"}`, `{"name":"` + strings.Repeat("x", 9<<20) + `"}`} {
				look(endpoint{service: p.service, method: p.method, path: p.path, body: body}, "admin")
			}
		}
		ended := e.execute(e.batch("ended", op("a")))
		e.batchEnded(ended)
		look(endpoint{service: "orch", method: "POST", path: "/batch/operations/" + ended + "/cancel"}, "admin")
		look(endpoint{service: "cc", method: "POST", path: "/users", body: newUser(u.Username)}, "admin")
		for _, status := range []int{400, 401, 403, 404, 405, 409, 413, 422} {
			if !seen[status] {
				t.Errorf("no refusal with %d was looked at, only %v", status, seen)
			}
		}
	}},
	{20, "limited_endpoints_say_what_is_left", func(t *testing.T, e *env) {
		l := e.limited()
		last := -1
		for range 3 {
			a := l.orch("viewer", "GET", "/tasks", nil)
			left, err := strconv.Atoi(a.Header.Get("X-RateLimit-Remaining"))
			limit, err2 := strconv.Atoi(a.Header.Get("X-RateLimit-Limit"))
			reset, err3 := strconv.ParseInt(a.Header.Get("X-RateLimit-Reset"), 10, 64)
			if err != nil || err2 != nil || err3 != nil || limit != 100 {
				t.Fatalf("headers are %v", a.Header)
			}
			if last >= 0 && left != last-1 {
				t.Errorf("remaining went from %d to %d", last, left)
			}
			last = left
			if in := time.Until(time.Unix(reset, 0)); in <= -time.Second || in > 61*time.Second {
				t.Errorf("reset is %s away", in)
			}
		}
		if a := l.want(l.orch("viewer", "GET", "/tasks?limit=0", nil), 400); a.Header.Get("X-RateLimit-Remaining") != strconv.Itoa(last-1) {
			t.Errorf("a refusal says %q is left", a.Header.Get("X-RateLimit-Remaining"))
		}
		for _, p := range endpoints() {
			if p.path == "/health" || p.path == "/ready" || p.path == "/metrics" {
				continue // free of limits (I13)
			}
			a, want := l.call(p, ""), "100" // without a token: by address
			if p.path == "/auth/login" || p.path == "/auth/refresh" {
				want = "5"
			}
			if a.Header.Get("X-RateLimit-Limit") != want || a.Header.Get("X-RateLimit-Remaining") == "" ||
				a.Header.Get("X-RateLimit-Reset") == "" {
				t.Errorf("%s %s answered %d with %v", p.method, p.path, a.Status, a.Header)
			}
		}
	}},
	{21, "sigterm_lets_requests_end_and_exits_0", func(t *testing.T, e *env) {
		f := e.fresh()
		f.endsInOrder(f.Orchestrator, "/rollback/checkpoints", map[string]any{"name": "half sent"})
		f.endsInOrder(f.ControlCenter, "/users", newUser("half-sent"))
	}},
}

// headerSafe says whether a token can travel in a header at all.
func headerSafe(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return false
		}
	}
	return len(s) < 900_000
}
