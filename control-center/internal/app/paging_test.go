package app

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// get returns the answer to a GET with further headers, "name", "value" and so on, and its rows if
// it has any.
func (r *running) get(path, bearer string, headers ...string) (*http.Response, []struct{ ID string }) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var v struct{ Data []struct{ ID string } }
	_ = json.NewDecoder(resp.Body).Decode(&v) // a 304 has no body
	return resp, v.Data
}

func TestLists_linksShowEveryRowOnceWhileOthersAreAdded(t *testing.T) {
	t.Parallel()
	r := start(t, "memory:")
	admin := r.login("admin", r.admin.Password, r.admin.RecoveryCodes[0])
	more := func(name string) {
		if status, out := r.do("POST", "/users", admin,
			map[string]any{"username": name, "email": name + "@example.com", "password": "violet harbour nineteen",
				"roles": []string{"viewer"}}); status != 201 {
			t.Fatalf("%d %v", status, out)
		}
	}
	for _, name := range []string{"u0", "u1", "u2"} {
		more(name)
	}
	next := regexp.MustCompile(`<([^>]*)>; rel="next"`)
	for _, list := range []string{"/users?limit=1", "/users?limit=1&role=viewer", "/audit/logs?limit=1",
		"/audit/logs?limit=1&action=user.create&from=2020-01-01"} {
		seen := map[string]bool{}
		for at, page := list, 0; at != "" && page < 3; page++ {
			resp, rows := r.get(at, admin)
			if resp.StatusCode != 200 || len(rows) != 1 || seen[rows[0].ID] {
				t.Fatalf("%s: %d, a row twice or none: %v after %v", at, resp.StatusCode, rows, seen)
			}
			seen[rows[0].ID] = true
			at = ""
			if m := next.FindStringSubmatch(resp.Header.Get("Link")); m != nil {
				at = m[1]
			}
			more("x" + regexp.MustCompile(`\W`).ReplaceAllString(list, "") + string(rune('a'+page)))
		}
		if len(seen) != 3 {
			t.Errorf("%s: %d rows", list, len(seen))
		}
	}
}

// shownRow is a row of the audit log, as far as it matters here.
type shownRow struct {
	ID        string
	Timestamp time.Time
}

// TestAuditList_toTheTimeThatTheCommandLinePrintsIncludesTheRow asks up to the second that `audit
// list` shows of a row.
func TestAuditList_toTheTimeThatTheCommandLinePrintsIncludesTheRow(t *testing.T) {
	t.Parallel()
	r := start(t, "memory:")
	admin := r.login("admin", r.admin.Password, r.admin.RecoveryCodes[0])
	list := func(query string) (rows []shownRow) {
		t.Helper()
		status, out := r.do("GET", "/audit/logs?"+query, admin, nil)
		raw, err := json.Marshal(out["data"])
		if err == nil {
			err = json.Unmarshal(raw, &rows)
		}
		if status != 200 || err != nil {
			t.Fatal(query, status, err)
		}
		return rows
	}
	all := list("limit=20")
	if len(all) == 0 {
		t.Fatal("no rows")
	}
	for _, row := range all {
		shown := row.Timestamp.UTC().Format(time.RFC3339)
		for _, query := range []string{"to=" + shown, "from=" + shown + "&to=" + shown} {
			found := list(query + "&limit=1000")
			if !slices.ContainsFunc(found, func(o shownRow) bool { return o.ID == row.ID }) {
				t.Errorf("%s does not find the row of that time", query)
			}
		}
	}
}

func TestJWKS_mayBeAskedForAgainForNothing(t *testing.T) {
	t.Parallel()
	r := start(t, "memory:")
	first, _ := r.get("/.well-known/jwks.json", "")
	tag := first.Header.Get("ETag")
	if first.StatusCode != 200 || tag == "" || first.Header.Get("Cache-Control") != "max-age=300" {
		t.Fatalf("%d %v", first.StatusCode, first.Header)
	}
	if again, _ := r.get("/.well-known/jwks.json", "", "If-None-Match", tag); again.StatusCode != 304 {
		t.Errorf("the same keys: %d", again.StatusCode)
	}
	admin := r.login("admin", r.admin.Password, r.admin.RecoveryCodes[0])
	if status, out := r.do("POST", "/keys/rotate", admin, nil); status != 200 {
		t.Fatalf("%d %v", status, out)
	}
	if rotated, _ := r.get("/.well-known/jwks.json", "", "If-None-Match", tag); rotated.StatusCode != 200 {
		t.Errorf("other keys: %d", rotated.StatusCode)
	}
}

func TestIDs_whateverIsWrittenThereIsNoSuchThing(t *testing.T) {
	t.Parallel()
	r := start(t, "memory:")
	admin := r.login("admin", r.admin.Password, r.admin.RecoveryCodes[0])
	for _, c := range []struct{ method, path string }{
		{"GET", "/users/"}, {"DELETE", "/users/"}, {"DELETE", "/keys/"}, {"GET", "/audit/logs/"}, {"POST", "/users/@/mfa/totp"},
		{"DELETE", "/users/@/mfa"},
	} {
		for _, id := range []string{"%00", "%ff", "..%2f", "nobody", strings.Repeat("%c3%a9", 128)} {
			path := c.path + id
			if at := strings.IndexByte(c.path, '@'); at >= 0 {
				path = c.path[:at] + id + c.path[at+1:]
			}
			if status, out := r.do(c.method, path, admin, nil); status != 404 {
				t.Errorf("%s %s: %d %v", c.method, path, status, out)
			}
		}
	}
}
