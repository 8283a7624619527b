package security

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestHeaders_onEveryAnswer is S06 and A53: good and refused answers of every operation carry the
// headers that keep browsers harmless, none tells what we are made of or opens itself to other
// pages, and the links of lists, the one place where an answer names addresses, are paths whatever
// host a request claims to have asked.
func TestHeaders_onEveryAnswer(t *testing.T) {
	s := shared
	linked := map[string]bool{}
	_, hook := s.webhook(t, nil)
	identity := idOf(t, s.send(t, "control-center", "POST", "/webhooks", s.people["admin+mfa"].token,
		map[string]any{"url": "https://receiver.invalid/hook", "events": []string{"key.removed"}}))
	_, batch := s.batch(t, map[string]any{"name": "headers"}, map[string]any{"id": "a"}, map[string]any{"name": "headers"})
	parents := map[string]string{ // lists of what belongs to something need it
		"orchestrator /webhooks/{id}/deliveries":       strings.TrimPrefix(hook, "/webhooks/"),
		"orchestrator /state/workflows/{id}/snapshots": strings.TrimPrefix(batch, "/batch/operations/"),
		"control-center /webhooks/{id}/deliveries":     identity,
		"control-center /policies/{id}/versions":       "00000000-0000-8000-8000-000000000001",
	}
	for _, op := range append(s.operations(t), operation{service: "orchestrator", method: "GET", path: "/nothing"},
		operation{service: "control-center", method: "PATCH", path: "/users"}) {
		path, tokens := op.url(cmp.Or(parents[op.service+" "+op.path], nowhere)), []string{"", "bad", s.people["viewer"].token}
		own := path
		list := slices.Contains(op.query, "offset")
		if list { // its second page links to the first, and each list has a reader
			path, tokens = path+"?limit=1&offset=1", append(tokens, s.people["admin"].token)
		}
		for _, tok := range tokens {
			if (op.id == "logout" || op.id == "removeMFA") && tok != "" {
				continue // they would end the viewer's session
			}
			a := s.send(t, op.service, op.method, path, tok, nil, "Origin: https://evil.example", "Host: evil.example",
				"X-Forwarded-Host: evil.example",
				"X-Forwarded-Proto: https", "X-Forwarded-Prefix: /evil.example", "Forwarded: host=evil.example;proto=https",
				"X-Original-URL: /evil.example", "X-HTTP-Method-Override: DELETE")
			h := a.Header
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" ||
				!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || h.Get("X-Frame-Options") != "DENY" {
				t.Errorf("%s: %v", op, h)
			}
			public := op.id == "getOpenAPI" || op.id == "getDocs" || op.id == "jwks"
			if c := h.Get("Cache-Control"); c != "no-store" && !public {
				t.Errorf("%s: Cache-Control %q", op, c)
			}
			for name := range h {
				if strings.HasPrefix(name, "Access-Control-") || name == "Server" || name == "X-Powered-By" || name == "Set-Cookie" {
					t.Errorf("%s: %s", op, name)
				}
			}
			if strings.Contains(fmt.Sprint(h), "evil.example") || bytes.Contains(a.Raw, []byte("evil.example")) {
				t.Errorf("%s repeats a forged host: %v %.300s", op, h, a.Raw)
			}
			for link := range strings.SplitSeq(h.Get("Link"), ", ") {
				if !list || link == "" {
					continue
				}
				if linked[op.String()] = true; !strings.HasPrefix(link, "<"+own+"?") {
					t.Errorf("%s links to %s, want a path of its own", op, link)
				}
			}
		}
		if list && !linked[op.String()] {
			t.Errorf("%s: no answer has links, want some in the second page", op)
		}
	}
	if len(linked) < 5 {
		t.Errorf("the lists with links are %v, want at least five", linked)
	}
}

// TestPaths_spellingsGainNothing is Z11 and Z02: what is denied or absent stays so in every
// spelling of its path.
func TestPaths_spellingsGainNothing(t *testing.T) {
	s := shared
	for _, op := range s.operations(t) {
		path := op.url(nowhere)
		if op.open || op.method != "GET" {
			continue
		}
		for _, spelled := range []string{"/" + path, "//x/.." + path, "/." + path, "/health/.." + path, "/%2e%2e" + path, "/health%2f.." +
			path, "/health;" + path, path + ";x=y", path + "%00", path + "%20", path + "/.", path + "/..",
			path + "//", strings.ToUpper(path), strings.Replace(path, "/", "/%c0%af", 1), strings.Replace(path, "/", "%2f", 1), "/." +
				path + "?", path + "%3f", path + "#", "http://evil.example" + path, path + "\\", "/%5c" + path} {
			status, raw := s.raw(t, op.service, "GET "+spelled+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if status < 300 && !bytes.Contains(raw, []byte("healthy")) {
				t.Errorf("%s as %q without a token: %d %.200s", op, spelled, status, raw)
			}
			status, raw = s.raw(t, op.service, "GET "+spelled+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer "+
				s.people["viewer"].token+"\r\n\r\n")
			plain := s.send(t, op.service, "GET", path, s.people["viewer"].token, nil)
			if plain.Status == 401 || status < 300 && plain.Status >= 300 && !bytes.Contains(raw, []byte("healthy")) {
				t.Errorf("%s as %q by a viewer: %d, plainly %d", op, spelled, status, plain.Status)
			}
		}
	}
	for _, service := range []string{"orchestrator", "control-center"} {
		for _, path := range []string{"/debug/pprof/", "/debug/vars", "/debug", "/.env", "/.git/config", "/admin", "/api/v1/users",
			"/internal/v1", "/internal/v1/", "/swagger.json", "/server-status"} {
			if a := s.send(t, service, "GET", path, s.people["admin+mfa"].token, nil); a.Status != 404 {
				t.Errorf("%s %s: %d", service, path, a.Status)
			}
		}
		for _, method := range []string{"TRACE", "TRACK", "CONNECT", "OPTIONS", "PROPFIND", "get", "G\u00cbT"} {
			status, raw := s.raw(t, service, method+" /health HTTP/1.1\r\nHost: a\r\nX-Secret: hunter2\r\nConnection: close\r\n\r\n")
			if status < 400 || status >= 502 || bytes.Contains(raw, []byte("hunter2")) {
				t.Errorf("%s %s: %d %.200s", service, method, status, raw)
			}
		}
	}
}

// raw sends bytes and returns the answer's status and body.
func (s *site) raw(t *testing.T, service, request string) (int, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.address(service), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%.80q: %v", request, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var b bytes.Buffer
	_, _ = b.ReadFrom(resp.Body)
	return resp.StatusCode, b.Bytes()
}

// TestForwarded_spoofedAddressesGainNothing is R05 and A44's door: with the limits on, no header
// gives a client the bucket of another address, and records name the address that really asked.
func TestForwarded_spoofedAddressesGainNothing(t *testing.T) {
	r := rigtest.Prepare(t, rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir(), RateLimits: true})
	if err := r.ControlCenter.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &site{Rig: r}
	refusals := 0
	for i := range 12 {
		ip := fmt.Sprintf("203.0.113.%d", i)
		a := s.send(t, "control-center", "POST", "/auth/login", "",
			map[string]any{"username": fmt.Sprint("nobody", i), "password": password}, "X-Forwarded-For: "+ip, "X-Real-IP: "+ip,
			"Forwarded: for="+ip, "CF-Connecting-IP: "+ip, "True-Client-IP: "+ip, "X-Client-IP: "+ip, "X-Forwarded: "+ip)
		if a.Status == 429 {
			refusals++
		}
	}
	if refusals < 7 {
		t.Errorf("only %d of 12 sign-ins were limited", refusals)
	}
	log, err := os.ReadFile(r.ControlCenter.Log)
	if err != nil || bytes.Contains(log, []byte("203.0.113.")) || !bytes.Contains(log, []byte(`"ip":"127.0.0.1"`)) {
		t.Errorf("the log names other addresses (%v)", err)
	}
}

// TestForwarded_behindAProxyTheClientIsTheClient is decision 62: in every form in which proxies
// write an address, clients are told apart, and nothing that a client puts in front of it counts.
func TestForwarded_behindAProxyTheClientIsTheClient(t *testing.T) {
	t.Parallel()
	r := rigtest.Prepare(t, rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir(), RateLimits: true,
		Env: []string{"CONTROL_CENTER_TRUSTED_PROXIES=127.0.0.0/8"}})
	if err := r.ControlCenter.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &site{Rig: r}
	limited := func(forwarded string) bool {
		return s.send(t, "control-center", "POST", "/auth/login", "", map[string]any{"username": "x"}, "X-Forwarded-For: "+
			forwarded).Status == 429
	}
	for _, form := range []string{"203.0.113.%d", "203.0.113.1%d:51234", "[2001:db8:%d::7]:443", `"[2001:db8:1%d::7]:443"`, "203.0.113.2%d, ", "127.0.0.9,203.0.113.3%d,127.0.0.%[1]d"} {
		for i := range 6 {
			if forwarded := fmt.Sprintf(form, i); limited(forwarded) {
				t.Errorf("%s shares the limit of others", forwarded)
			}
		}
	}
	refusals := 0
	for i := range 12 {
		if limited(fmt.Sprintf("6.6.6.%d, garbage", i)) {
			refusals++
		}
	}
	if refusals != 7 {
		t.Errorf("invented addresses in front of what is none: %d of 12 sign-ins were limited, want 7", refusals)
	}
	log, err := os.ReadFile(r.ControlCenter.Log)
	for _, ip := range []string{"203.0.113.3", "203.0.113.14", "2001:db8:5::7", "2001:db8:12::7", "203.0.113.21", "203.0.113.30",
		"127.0.0.1"} {
		if !bytes.Contains(log, []byte(`"ip":"`+ip+`"`)) {
			t.Errorf("the log does not name %s (%v)", ip, err)
		}
	}
	if bytes.Contains(log, []byte("6.6.6.")) {
		t.Error("the log names an invented address")
	}
}

// TestLog_everyLineIsOneRecord is I13: line breaks, escape sequences and quotes in everything that
// a client controls.
func TestLog_everyLineIsOneRecord(t *testing.T) {
	s := shared
	const evil = "x\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\u2028\x1b[2J\"\\"
	for _, op := range s.operations(t) {
		if op.id == "logout" || op.id == "removeMFA" {
			continue
		}
		path := op.url("a%0d%0a%7b%22msg%22%3a%22forged%22%7d%1b%5b2J") + "?limit=1&x=%0d%0aforged"
		var body any
		if op.body != nil {
			full := map[string]any{}
			for name, p := range op.body.Properties {
				if full[name] = evil; !p.is("string") {
					full[name] = []any{evil}
				}
			}
			body = full
		}
		for _, tok := range []string{"", "a\"b{}", s.people["operator"].token} {
			s.send(t, op.service, op.method, path, tok, body, "User-Agent: \t\"forged\" {}", "X-Request-Id: a\"b", "Accept: \"x\"")
		}
	}
	s.send(t, "control-center", "POST", "/auth/login", "", map[string]any{"username": evil, "password": evil, "mfa_code": evil})
	for _, path := range []string{s.Orchestrator.Log, s.ControlCenter.Log} {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for line := range bytes.Lines(raw) {
			var v struct{ Msg, Level, Time string }
			if err := json.Unmarshal(line, &v); err != nil || v.Msg == "" || v.Level == "" || v.Time == "" || v.Msg == "forged" {
				t.Errorf("%s: %v in %.300s", path, err, line)
			}
			if bytes.ContainsAny(line[:len(line)-1], "\x1b\r\x00") {
				t.Errorf("%s: control characters in %.300q", path, line)
			}
			lines++
		}
		if lines < 50 {
			t.Errorf("%s: only %d lines", path, lines)
		}
	}
}

// TestSocket_origins is A60 at the built binary; the whole table stands in package watch.
func TestSocket_origins(t *testing.T) {
	s := shared
	address := "ws" + strings.TrimPrefix(s.Orchestrator.Address, "http") + "/ws?token=" + s.people["viewer"].token
	own := strings.TrimPrefix(s.Orchestrator.Address, "http://")
	for _, c := range []struct {
		header, value string
		ok            bool
	}{
		{"X-Nothing", "x", true}, {"Origin", "http://" + own, true}, {"Origin", "https://evil.example", false}, {"Origin", "null", false},
		{"Origin", "http://" + own + ".evil.example", false},
		{"Origin", "http://evil.example/" + own, false}, {"Origin", "http://" + own + "@evil.example", false},
		{"Origin", "http://x@" + own, false}, {"Origin", "file://" + own, false},
		{"Origin", "http://" + own + "/", false}, {"Origin", own, false}, {"Origin", "http://localhost:1", false},
		{"Cookie", "session=x", false},
	} {
		ws, resp, err := websocket.DefaultDialer.Dial(address, http.Header{c.header: {c.value}})
		if err == nil {
			_ = ws.Close()
		}
		if (err == nil) != c.ok || (!c.ok && (resp == nil || resp.StatusCode != 403)) {
			t.Errorf("%s: %s: %v", c.header, c.value, err)
		}
	}
}

// TestNames_likeRolesGainNothing is Z07 and abuse story 4: accounts named like roles, services and
// the first administrator have the rights of their role and no others.
func TestNames_likeRolesGainNothing(t *testing.T) {
	s := shared
	admin := s.people["admin+mfa"].token
	made := 0
	names := []string{"r-admin", "h-admin", "s-orchestrator", "operator", "auditor", "everyone", "root", "service.orchestrator", "u-admin",
		"admin2"}
	for i, name := range append(names, "r:admin", "service:orchestrator", "*", "admin,operator", "admin\n", "ａｄｍｉｎ", "аdmin", "ADMIN",
		"Admin", " admin", "admin ", "admin\u200b", "", ".", "..", "a/b") {
		a := s.send(t, "control-center", "POST", "/users", admin,
			map[string]any{"username": name, "email": fmt.Sprintf("n%d@example.com", i), "password": password, "roles": []string{"viewer"}})
		if a.Status != 201 {
			if a.Status != 409 && a.Status != 422 {
				t.Errorf("%q: %d %s", name, a.Status, a.Raw)
			}
			continue
		}
		made++
		login := s.send(t, "control-center", "POST", "/auth/login", "", map[string]any{"username": name, "password": password})
		if login.Status != 200 {
			t.Fatalf("%q: %s", name, login.Raw)
		}
		var tok struct{ Token string }
		login.data(t, &tok)
		for _, at := range [][3]string{{"control-center", "GET", "/users"}, {"control-center", "GET", "/audit/logs"},
			{"control-center", "POST", "/keys/rotate"}, {"control-center", "GET", "/internal/v1/policies"},
			{"orchestrator", "POST", "/rollback/checkpoints"}} {
			var body any
			if at[1] == "POST" {
				body = map[string]any{"name": "x"}
			}
			if a := s.send(t, at[0], at[1], at[2], tok.Token, body); a.Status != 403 {
				t.Errorf("%q may %s %s: %d", name, at[1], at[2], a.Status)
			}
		}
	}
	if made < len(names) {
		t.Errorf("only %d of the honest names were taken", made)
	}
	for _, role := range []string{"r:admin", "Admin", "admin ", "superuser", "service:orchestrator", "*", "admin,viewer", "", "everyone"} {
		a := s.send(t, "control-center", "POST", "/users", admin,
			map[string]any{"username": "roles-of-no-role", "email": "x@example.com", "password": password, "roles": []string{role}})
		if a.Status != 422 {
			t.Errorf("role %q: %d %s", role, a.Status, a.Raw)
		}
	}
}
