package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web/body"
	"github.com/provisioning-platform/platform/shared/web/ratelimit"
)

// detail is a face as other APIs have one: Basic, {"detail"}, bare data, null for nothing, no
// version and no headers of limits.
func detail() *Face {
	return &Face{
		Prefix: "/v1/", Credential: Basic, Challenge: "Basic", Takes: func(string) bool { return true },
		Body: body.Lenience{Null: true, Unknown: true},
		Authenticate: func(_ context.Context, pair string, _ *http.Request) (token.Claims, error) {
			if name, password, _ := strings.Cut(pair, ":"); password == "pass: word" {
				return token.Claims{Kind: token.Access, Subject: name}, nil
			}
			return token.Claims{}, fault.New(fault.Unauthenticated, "basic.refused", "who?")
		},
		Headers: func(h http.Header, requestID string) { h.Set("X-Trace", requestID) },
		Limits:  func(http.Header, ratelimit.Status) {},
		Status: func(f *fault.Error) int {
			if f.Kind == fault.Denied {
				return http.StatusUnauthorized
			}
			return StatusOf(f.Kind)
		},
		Data: func(to *bytes.Buffer, data any) (string, error) { return "application/json", body.Encode(to, data) },
		Error: func(to *bytes.Buffer, _ int, f *fault.Error, _ string) string {
			fmt.Fprintf(to, `{"detail":%q}`, f.Message)
			return "application/problem+json"
		},
	}
}

// faced is a server with the platform's routes and those of another face.
func faced(t *testing.T) *rig {
	var g *rig
	g = newRig(t, func(c *Config) {
		c.RateLimits = ratelimit.Default()
		face := detail()
		c.Routes = append(c.Routes,
			Route{Method: "POST", Path: "/v1/things", Op: "v1Create", Permission: Allow("create", "things"), Status: 201,
				Audit: "thing.create", Face: face,
				Handle: To(func(_ context.Context, in thing) (any, error) {
					if g.calls++; in.Name == "taken" {
						return nil, fault.New(fault.Conflict, "thing.taken", "that name is taken")
					}
					return nil, nil
				})},
			Route{Method: "GET", Path: "/v1/export/:id", Op: "v1Export", Permission: Allow("read", "things"), Produces: "text/plain",
				Face: face,
				Handle: To(func(_ context.Context, in byID) (Pieces, error) {
					return Pieces{ContentType: "text/plain", Headers: map[string]string{"X-Of": in.ID}, Write: func(w io.Writer) error {
						if in.ID == "none" {
							return fault.New(fault.NotFound, "thing.unknown", "there is no such thing")
						}
						for i := range 3 {
							if _, err := fmt.Fprintf(w, "piece %d\n", i); err != nil {
								return err
							}
							if in.ID == "broken" {
								return errors.New("the disk is gone")
							}
						}
						return nil
					}}, nil
				})})
	})
	return g
}

func basic(name, password string) string {
	r := httptest.NewRequest("GET", "/", nil)
	r.SetBasicAuth(name, password)
	return "Authorization: " + r.Header.Get("Authorization")
}

// TestFace_readsAndWritesAnotherFormatOnTheSameServer: a face was a writer of answers only.
func TestFace_readsAndWritesAnotherFormatOnTheSameServer(t *testing.T) {
	t.Parallel()
	g := faced(t)
	alice := basic("alice", "pass: word")
	for _, c := range []struct {
		what, method, path, body string
		head                     []string
		status                   int
		answer                   string // how it begins
	}{
		{"null for nothing, null for absent, an unknown member", "POST", "/v1/things", `{"name":"a","kind":null,"extra":[1]}`, []string{alice}, 201, `null`},
		{"any content type, any version", "POST", "/v1/things", `{"name":"a"}`, []string{alice, "Content-Type: text/x", "Accept: application/vnd.provisioning.v9+json"}, 201, `null`},
		{"null for the whole body", "POST", "/v1/things", `null`, []string{alice}, 422, `{"detail":"/name is required"}`},
		{"null for what is required", "POST", "/v1/things", `{"name":null}`, []string{alice}, 422, `{"detail":"/name is required"}`},
		{"twice, once null", "POST", "/v1/things", `{"name":"a","kind":null,"kind":"small"}`, []string{alice}, 400, `{"detail":`},
		{"a word that is no null", "POST", "/v1/things", `nul`, []string{alice}, 400, `{"detail":`},
		{"nobody", "POST", "/v1/things", `{"name":"a"}`, nil, 401, `{"detail":`},
		{"a token of the platform", "POST", "/v1/things", `{"name":"a"}`, []string{asAlice}, 401, `{"detail":`},
		{"a wrong password", "POST", "/v1/things", `{"name":"a"}`, []string{basic("alice", "x")}, 401, `{"detail":"who?"}`},
		{"who may not", "POST", "/v1/things", `{"name":"a"}`, []string{basic("guest", "pass: word")}, 401, `{"detail":`},
		{"no such path", "GET", "/v1/nowhere", "", nil, 404, `{"detail":`},
		{"no such method", "PATCH", "/v1/things", "", nil, 405, `{"detail":`},
		{"no such path of the platform", "GET", "/nowhere", "", nil, 404, `{"success":false`},
		{"the platform takes no Basic", "GET", "/things", "", []string{alice}, 401, `{"success":false`},
		{"the platform takes no null", "POST", "/things", `null`, []string{asAlice}, 400, `{"success":false`},
		{"the platform knows one version", "GET", "/things", "", []string{asAlice, "Accept: application/vnd.provisioning.v9+json"}, 406, `{"success":false`},
	} {
		w := g.send(c.method, c.path, c.body, c.head...)
		if w.Code != c.status || !strings.HasPrefix(w.Body.String(), c.answer) {
			t.Errorf("%s: %d %s, want %d %s", c.what, w.Code, w.Body, c.status, c.answer)
		}
		h, theirs := w.Header(), strings.HasPrefix(c.path, "/v1/")
		if (h.Get("X-Trace") != "") != theirs || theirs && (h.Get("X-Ratelimit-Limit") != "" || h.Get("Ratelimit") != "") ||
			h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", c.what, h)
		}
		if want := map[bool]string{true: "Basic", false: "Bearer"}[theirs]; w.Code == 401 && h.Get("Www-Authenticate") != want {
			t.Errorf("%s: challenge %q, want %s", c.what, h.Get("Www-Authenticate"), want)
		}
	}
	refused := 0
	for _, e := range g.entries() {
		if e.Op == "v1Create" && e.Result == audit.Refused {
			refused++
		}
	}
	if refused != 3 { // the wrong scheme, the wrong password, and who may not
		t.Errorf("%d refusals are recorded", refused)
	}
}

// TestFace_answersOfAnyFaceAreRepeated: only those of the envelope were.
func TestFace_answersOfAnyFaceAreRepeated(t *testing.T) {
	t.Parallel()
	g := faced(t)
	alice := basic("alice", "pass: word")
	for i, name := range []string{"a", "taken"} {
		key := fmt.Sprintf("Idempotency-Key: %d", i)
		a := g.send("POST", "/v1/things", `{"name":"`+name+`"}`, alice, key)
		b := g.send("POST", "/v1/things", `{"name":"`+name+`"}`, alice, key)
		if g.calls != i+1 || a.Code != b.Code || a.Body.String() != b.Body.String() ||
			a.Header().Get("Content-Type") != b.Header().Get("Content-Type") || b.Header().Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: %d %s %v, repeated %d %s %v, %d calls", name, a.Code, a.Body, a.Header(), b.Code, b.Body, b.Header(), g.calls)
		}
	}
}

// TestPieces_areSentOneByOneUnderTheSameChecks: an answer was one piece of memory, or a Stream that
// saw to everything by itself.
func TestPieces_areSentOneByOneUnderTheSameChecks(t *testing.T) {
	t.Parallel()
	g := faced(t)
	srv := httptest.NewServer(g)
	defer srv.Close()
	get := func(id, name string) (*http.Response, string, error) {
		r, _ := http.NewRequest("GET", srv.URL+"/v1/export/"+id, nil)
		r.SetBasicAuth(name, "pass: word")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp, string(b), err
	}
	resp, text, err := get("all", "alice")
	if err != nil || resp.StatusCode != 200 || text != "piece 0\npiece 1\npiece 2\n" || resp.Header.Get("X-Of") != "all" ||
		resp.ContentLength >= 0 {
		t.Errorf("%v %v %q", err, resp, text)
	}
	if resp, text, err = get("none", "alice"); err != nil || resp.StatusCode != 404 || text != `{"detail":"there is no such thing"}` {
		t.Errorf("before the first piece: %v %d %q", err, resp.StatusCode, text)
	}
	if _, text, err = get("broken", "alice"); err == nil || text != "piece 0\n" {
		t.Errorf("half an answer ends like a whole one: %v %q", err, text)
	}
	if resp, _, _ = get("all", "guest"); resp.StatusCode != 401 {
		t.Errorf("who may not: %d", resp.StatusCode)
	}
	if log := g.log.String(); strings.Count(log, "v1Export") < 4 || !strings.Contains(log, "the disk is gone") {
		t.Errorf("log: %s", log)
	}
}

// TestCredential_headerTokenAndCookie reads what other APIs sign in with.
func TestCredential_headerTokenAndCookie(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what, name, value, want string
		read                    func(*http.Request) (string, error)
	}{
		{"a header", "X-Auth-Token", "t1", "t1", HeaderToken("X-Auth-Token")},
		{"no header", "X", "t1", "token.missing", HeaderToken("X-Auth-Token")},
		{"an empty header", "X-Auth-Token", "", "auth.bad_scheme", HeaderToken("X-Auth-Token")},
		{"a cookie", "Cookie", "a=b; session=t1", "t1", Cookie("session")},
		{"no cookie", "Cookie", "a=b", "token.missing", Cookie("session")},
		{"a pair", "Authorization", "Basic YTpiOmM=", "a:b:c", Basic},
		{"no colon", "Authorization", "Basic YQ==", "auth.bad_scheme", Basic},
		{"a bearer", "Authorization", "Bearer x", "auth.bad_scheme", Basic},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(c.name, c.value)
		got, err := c.read(r)
		if err != nil {
			got = fault.CodeOf(err)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

// TestBasic_whoSendsNothingIsToldToSendAToken: a bearer token is refused there for ever.
func TestBasic_whoSendsNothingIsToldToSendAToken(t *testing.T) {
	t.Parallel()
	_, err := Basic(httptest.NewRequest("GET", "/", nil))
	if !errors.Is(err, ErrNoCredential) || !strings.Contains(fault.Of(err).Message, "Authorization: Basic") {
		t.Errorf("%v", err)
	}
}
