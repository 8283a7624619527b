package security

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// withBody returns the operations that take a body, each with a body that is good but for what it
// names.
func (s *site) withBody(t *testing.T) map[string]operation {
	t.Helper()
	all := map[string]operation{}
	for _, op := range s.operations(t) {
		if op.body != nil {
			all[op.service+" "+op.id] = op
		}
	}
	if len(all) < 11 {
		t.Fatalf("only %d operations take a body", len(all))
	}
	return all
}

// answerIn bounds every answer; it is the bar's figure (I01).
const answerIn = 2 * time.Second

// try sends a body as the administrator with a second factor, who could do harm.
func (s *site) try(t *testing.T, op operation, body string, header ...string) answer {
	t.Helper()
	began := time.Now()
	a := s.send(t, op.service, op.method, op.url(nowhere), s.people["admin+mfa"].token, body, header...)
	if took := time.Since(began); a.Status >= 500 || took > answerIn {
		t.Errorf("%s answered %d after %s to %.200s", op, a.Status, took, body)
	}
	return a
}

// refused fails unless the answer is a refusal of the body.
func refused(t *testing.T, op operation, what string, a answer, statuses ...int) {
	t.Helper()
	for _, want := range statuses {
		if a.Status == want {
			return
		}
	}
	t.Errorf("%s with %s: %d, want %v: %.300s", op, what, a.Status, statuses, a.Raw)
}

// population is what a body that slipped through would have changed.
func (s *site) population(t *testing.T) string {
	t.Helper()
	var counts []string
	for _, list := range []operation{{service: "control-center", path: "/users"}, {service: "orchestrator", path: "/tasks"},
		{service: "orchestrator", path: "/batch/operations"}, {service: "orchestrator", path: "/rollback/checkpoints"}} {
		counts = append(counts, list.path+" "+
			s.send(t, list.service, "GET", list.path, s.people["admin"].token, nil).Header.Get("X-Total-Count"))
	}
	return strings.Join(counts, ", ")
}

// TestBodies_strictJSON is I02 to I04 and I17 on every body schema of both services.
func TestBodies_strictJSON(t *testing.T) {
	s := shared
	before := s.population(t)
	deep := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
	for _, op := range s.withBody(t) {
		good, err := json.Marshal(op.body.sample())
		if err != nil {
			t.Fatal(err)
		}
		inside := strings.TrimSuffix(strings.TrimPrefix(string(good), "{"), "}")
		if inside != "" {
			inside += ","
		}
		var member string
		for member = range op.body.Properties {
			break
		}
		first := `"` + member + `":"x"`
		for name, body := range map[string]string{
			"nothing": "", "blanks": " \n", "null": "null", "a list": "[]", "a text": `"x"`, "a number": "1", "true": "true", "an open brace": "{", "two values": string(good) + string(good),
			"something behind": string(good) + "x", "a comma behind": "{" + first + ",}", "a comment": "/**/" + string(good),
			"a line comment": string(good) + "//", "a BOM": "\ufeff" + string(good),
			"invalid UTF-8": "{" + inside + "\"\xff\":1}", "a lone surrogate": "{" + inside + `"\ud800":1}`, "single quotes": "{" + inside + "'a':1}", "a bare name": "{" + inside + "a:1}",
			"NaN": "{" + inside + `"a":NaN}`, "a leading zero": "{" + inside + `"a":01}`, "a control character": "{" + inside + "\"a\":\"\x01\"}", "a member twice": "{" + first + "," + first + "}",
			"a member twice, escaped": "{" + first + "," + strings.Replace(first, member[:1], fmt.Sprintf(`\u%04x`, member[0]), 1) + "}", "depth 100": deep,
			"a million brackets": strings.Repeat("[", 1_000_000),
		} {
			refused(t, op, name, s.try(t, op, body), 400, 413)
		}
		for name, body := range map[string]string{
			"an unknown member": "{" + inside + `"surprise":1}`, "a member in capitals": "{" + inside + strings.ToUpper(first) + "}", "a member with a blank": "{" + inside + `"` + member + ` ":"x"}`,
			"10,000 members": "{" + inside + many(10_000) + `"z":1}`, "__proto__": "{" + inside + `"__proto__":{}}`,
		} {
			refused(t, op, name, s.try(t, op, body), 400, 422)
		}
		for name, p := range op.body.Properties {
			for _, wrong := range []string{"{}", "[[]]", "1.5", "true", `"x"`, "-1", "9223372036854775808", "1e400", "-0", "9007199254740993", "null"} {
				switch {
				case wrong == "true" && p.is("boolean"), wrong == `"x"` && p.is("string"), wrong == "{}" && p.Properties != nil, wrong == "null":
					continue // the right type, or absence by another name, which a member may allow
				case (wrong == "-0" || wrong == "9007199254740993") && (p.is("integer") || p.is("number")):
					continue
				}
				rest := op.body.sample().(map[string]any)
				delete(rest, name)
				text, _ := json.Marshal(rest)
				body := strings.TrimSuffix(string(text), "}") + "," + `"` + name + `":` + wrong + "}"
				refused(t, op, name+" = "+wrong, s.try(t, op, strings.Replace(body, "{,", "{", 1)), 400, 422)
			}
		}
		for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
			"application/json; charset=latin1", "application/xml", "application/jsonx", "text/json"} {
			refused(t, op, "content type "+contentType, s.try(t, op, string(good), "Content-Type: "+contentType), 415)
		}
		var zipped bytes.Buffer
		w := gzip.NewWriter(&zipped)
		_, _ = w.Write(good)
		_ = w.Close()
		refused(t, op, "gzip", s.try(t, op, zipped.String(), "Content-Encoding: gzip"), 400, 415)
		refused(t, op, "too many bytes", s.try(t, op, `{"x":"`+strings.Repeat("x", 8<<20)+`"}`), 413, 400)
	}
	if after := s.population(t); after != before {
		t.Errorf("bad bodies changed something: before %s, after %s", before, after)
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"a%d":0,`, i)
	}
	return b.String()
}

// TestBodies_nothingIsAssignedInPassing is Z04: members of the stored models and of other products'
// mistakes, in three spellings, beside every good body.
func TestBodies_nothingIsAssignedInPassing(t *testing.T) {
	s := shared
	before := s.population(t)
	extra := []string{"id", "ID", "user_id", "roles", "role", "enabled", "is_admin", "admin", "isAdmin", "created_at", "last_login",
		"password_hash", "hash", "password", "totp_secret", "secret",
		"mfa", "mfa_enabled", "email_verified", "version", "rev", "revision", "auth_version", "av", "sid", "jti", "sub", "amr", "owner",
		"user", "status", "state", "result", "token", "permissions", "tenant", "expires_at", "policy", "command", "env", "environment",
		"provider_key"}
	for _, op := range s.withBody(t) {
		ignored := map[string]bool{}
		if op.id == "updateUser" { // decision 19; tested below
			ignored = map[string]bool{"id": true, "username": true, "created_at": true, "last_login": true}
		}
		if op.id == "updatePolicy" {
			ignored = map[string]bool{"id": true, "created_at": true, "updated_at": true, "revision": true}
		}
		for _, name := range extra {
			for _, spelled := range []string{name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:]} {
				if _, own := op.body.Properties[spelled]; own || ignored[spelled] {
					continue
				}
				body := op.body.sample().(map[string]any)
				body[spelled] = "admin"
				text, _ := json.Marshal(body)
				refused(t, op, spelled, s.try(t, op, string(text)), 422)
			}
		}
	}
	p := s.people["viewer"]
	view := func() string {
		return string(s.send(t, "control-center", "GET", "/users/"+p.id, s.people["admin"].token, nil).Raw)
	}
	old := view()
	a := s.send(t, "control-center", "PUT", "/users/"+p.id, s.people["admin+mfa"].token,
		map[string]any{"email": p.name + "@example.com", "id": nowhere, "username": "root", "created_at": "1970-01-01T00:00:00Z",
			"last_login": nil})
	if a.Status != 200 || view() != old {
		t.Errorf("read-only members: %d, before %s after %s", a.Status, old, view())
	}
	if after := s.population(t); after != before {
		t.Errorf("something was made: before %s, after %s", before, after)
	}
}

// strange are texts that break what is careless with them.
var strange = []string{"\x00", "a\x00b", "\x1b[31m", "\r\n", "\u202e", "\u200b", "\ufeff", strings.Repeat("e\u0301", 5000),
	strings.Repeat("é", 150), strings.Repeat("x", 900_000), "../../etc/passwd", "/etc/passwd", "%2e%2e%2f",
	"..\\..", "C:\\", "file:///etc/passwd", "'; DROP TABLE user; --", "$(touch /tmp/x)", "`id`", "{{7*7}}", "${jndi:ldap://x}", "<script>",
	"𝕏🚀", "ａｄｍｉｎ", "\U0010ffff", " ", "", " a  b ", "Zoë", "Zoe\u0308", "अनुक्रम", "naïve-name_1",
	"-oProxyCommand=touch pwned;", "--", ".ssh", "*", "web\u202e10", "a\u2028b", "0", "A_.-", "1.0.0", "a..b"}

// enough is the work that one look at a list or for a thing may be (I16).
const enough = 50 * time.Millisecond

// TestQueries_boundedAndNeverAFault is I06 and I16 in the queries and path parameters of every
// operation: no value is a fault of ours, changes something, or costs more than its share of work.
func TestQueries_boundedAndNeverAFault(t *testing.T) {
	s := shared
	values := append([]string{"0", "-1", "-0", "1", "1000", "1001", "1000000000", "1000000000000", "2147483648", "9007199254740993",
		"9223372036854775807", "9223372036854775808", "1e3", "1e400", "0x10", "1.5", "NaN", "+1", "true",
		"\xff\xfe", nowhere, nowhere + "\x01"}, strange...)
	tried := map[string]int{}
	for _, op := range s.operations(t) {
		token, body := s.people["admin"].token, any(nil)
		if op.method != "GET" { // as one who could do harm
			token = s.people["admin+mfa"].token
		}
		if op.body != nil {
			body = op.body.sample()
		}
		var paths []string
		for _, v := range values {
			if len(v) > 20_000 {
				v = v[:20_000] // the request line has its own limit
			}
			for _, name := range op.query {
				paths = append(paths, op.url(nowhere)+"?"+name+"="+url.QueryEscape(v))
			}
			if p := parameter.ReplaceAllLiteralString(op.path, url.PathEscape(v)); p != op.path {
				paths = append(paths, p)
			}
		}
		for _, path := range paths {
			tried[op.method]++
			signed := func() bool { // what is newer than the last signed head is asked for again (decision 26)
				a := s.send(t, op.service, op.method, path, token, body)
				return a.Status != 503 || !bytes.Contains(a.Raw, []byte(`"code":"audit.not_signed_yet"`))
			}
			if op.id == "getAuditEntry" {
				rigtest.Await(t, patience, path+" is signed", signed)
			}
			least := time.Hour // of a few tries: what the machine does besides is no work of ours
			for try := 0; try < 5 && least > enough; try++ {
				began := time.Now()
				a := s.send(t, op.service, op.method, path, token, body)
				took := time.Since(began)
				if least = min(least, took); a.Status >= 500 || took > answerIn {
					t.Errorf("%s %.80s: %d after %s: %.300s", op, path, a.Status, took, a.Raw)
				}
				if op.method != "GET" && a.Status < 400 {
					t.Errorf("%s %.80s: status %d for something that is not there, want a refusal: %.300s", op, path, a.Status, a.Raw)
				}
			}
			if least > enough {
				t.Errorf("%s %.80s: at least %s, want at most %s", op, path, least, enough)
			}
		}
	}
	if tried["GET"] < 1000 || tried["POST"] < 100 || tried["PUT"] < 40 || tried["DELETE"] < 100 {
		t.Errorf("only %v requests", tried)
	}
}
