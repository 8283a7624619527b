package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// rig is a server under test with its store and log.
type rig struct {
	*Server
	t     *testing.T
	db    *memstore.Store
	log   *safeBuffer
	calls int // of the handler "createThing", one request at a time
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// thing is an input with one of everything.
type thing struct {
	Name   string            `json:"name" required:"true" max:"256" doc:"what it is called" example:"web-01"`
	Size   int               `json:"size" min:"0" max:"10" default:"3"`
	Big    int64             `json:"big"`
	Ratio  float64           `json:"ratio"`
	On     *bool             `json:"on"`
	Kind   string            `json:"kind" enum:"small,large"`
	Tags   []string          `json:"tags" max:"4"`
	Labels map[string]string `json:"labels"`
	Parts  []part            `json:"parts"`
	When   *time.Time        `json:"when"`
	Free   any               `json:"free"`
	Lists  [][]int           `json:"lists"`
}

type part struct {
	ID string `json:"id" required:"true"`
	N  int    `json:"n" min:"1"`
}

// Resources names the thing to be made.
func (t *thing) Resources() []authz.Resource { return []authz.Resource{{Name: t.Name}} }

type byID struct {
	ID string `path:"id"`
}

type patch struct {
	byID
	Email *string `json:"email"`
}

// Ignores are the read-only members of the GET shape.
func (patch) Ignores() []string { return []string{"created_at", "id"} }

type listed struct {
	Paging
	Status string    `query:"status" enum:"Running,Failed"`
	From   time.Time `query:"from"`
	Flag   *bool     `query:"flag"`
}

type view struct {
	ID   string            `json:"id"`
	Tags []string          `json:"tags"`
	Meta map[string]string `json:"meta"`
	Note *string           `json:"note"`
}

// routes is a table with one route of every sort.
func (g *rig) routes() []Route {
	return []Route{
		{Method: "GET", Path: "/health", Op: "getHealth", Permission: Open(), Limit: Free,
			Handle: To(func(context.Context, None) (Notice, error) { return "well", nil })},
		{Method: "POST", Path: "/auth/login", Op: "login", Permission: Open(), Limit: Authentication, Audit: "session.create",
			Handle: To(func(context.Context, struct {
				Name string `json:"username"`
			}) (Notice, error) {
				return "in", nil
			})},
		{Method: "GET", Path: "/things", Op: "listThings", Permission: Allow("read", "things"), Handle: To(g.list)},
		{Method: "POST", Path: "/things", Op: "createThing", Permission: Allow("create", "things"), Status: 201,
			Audit: "thing.create", Handle: To(g.create)},
		{Method: "GET", Path: "/things/:id", Op: "getThing", Permission: Allow("read", "things"), Handle: To(g.get)},
		{Method: "PUT", Path: "/things/:id", Op: "updateThing", Permission: Allow("update", "things"), Audit: "thing.update",
			Handle: To(func(_ context.Context, in patch) (Notice, error) { return Notice("updated " + in.ID), nil })},
		{Method: "POST", Path: "/things/:id/cancel", Op: "cancelThing", Permission: Allow("cancel", "things"), Limit: Batch,
			Audit: "thing.cancel", Handle: To(func(context.Context, byID) (Notice, error) { return "Operation cancelled", nil })},
		{Method: "GET", Path: "/me", Op: "getMe", Permission: Authenticated(),
			Handle: To(func(ctx context.Context, _ None) (map[string]any, error) {
				c := CallerOf(ctx)
				return map[string]any{"id": c.ID(), "mfa": c.Claims.MFA(), "ip": c.IP.String(), "scene": audit.ContextOf(ctx).Op}, nil
			})},
		{Method: "GET", Path: "/internal/v1/policies", Op: "getPolicies", Permission: Service("orchestrator"), Limit: Free, Internal: true,
			Handle: To(func(context.Context, None) (Notice, error) { return "p", nil })},
		{Method: "GET", Path: "/metrics", Op: "getMetrics", Permission: Allow("read", "metrics"), Limit: Free,
			Stream: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Has("gone") {
					Refuse(w, r, fault.New(fault.Gone, "x.gone", "gone"))
					return
				}
				_, _ = io.WriteString(w, "plain text")
			})},
	}
}

func (g *rig) create(ctx context.Context, in thing) (view, error) {
	g.calls++
	switch in.Name {
	case "panic":
		panic("secret inside")
	case "broken":
		return view{}, errors.New("dial tcp 10.0.0.1: secret inside")
	case "taken":
		return view{}, fault.New(fault.Conflict, "thing.taken", "that name is taken")
	case "away":
		return view{}, store.ErrUnavailable
	}
	return view{ID: NewID(ctx), Tags: in.Tags}, nil
}

func (g *rig) get(_ context.Context, in byID) (view, error) {
	if in.ID == "none" {
		return view{}, fault.New(fault.NotFound, "thing.unknown", "there is no such thing")
	}
	return view{ID: in.ID}, nil
}

func (g *rig) list(_ context.Context, in listed) (Page[view], error) {
	const total = 120
	n := max(0, min(in.Limit, total-in.Offset))
	if in.Status == "Failed" {
		return Page[view]{}, nil
	}
	p := Page[view]{Items: make([]view, n), Total: total}
	if in.Offset+n < total {
		p.Next = "last"
	}
	return p, nil
}

// newRig returns a server with limits switched off unless change says otherwise.
func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	g := &rig{t: t, log: &safeBuffer{}, db: memstore.New(store.Schema{Service: "test", Kinds: idempotency.Kinds()})}
	cfg := Config{
		Service: "orchestrator", Title: "Test", Description: "A server under test.", Routes: g.routes(), Store: g.db,
		Key: []byte("a key of the folder"),
		Log: obs.NewLogger(g.log, "test", slog.LevelInfo), Metrics: obs.NewRegistry(),
		Authenticate: func(_ context.Context, raw string, _ *http.Request) (token.Claims, error) {
			switch raw {
			case "alice":
				return token.Claims{Kind: token.Access, Subject: "alice", Roles: []string{"admin"}, AMR: []string{"pwd", "otp"}}, nil
			case "bob", "guest", "service:orchestrator":
				return token.Claims{Kind: token.Access, Subject: raw, Roles: []string{raw}, AMR: []string{"pwd"}}, nil
			case "svc":
				return token.Claims{Kind: token.Service, Subject: "service:orchestrator"}, nil
			case "kindless":
				return token.Claims{Subject: "service:orchestrator", Roles: []string{"admin"}}, nil
			case "away":
				return token.Claims{}, fault.New(fault.Unavailable, "token.keys", "keys are not known yet")
			}
			return token.Claims{}, fault.New(fault.Unauthenticated, "token.invalid", "this token is not valid")
		},
		Decide: func(r authz.Request) authz.Decision {
			ok := r.Subject.ID != "guest" && r.Resource.Name != "forbidden"
			return authz.Decision{Allowed: ok, Rule: "r1", Version: 7, Reason: map[bool]string{false: "no rule allows it"}[ok]}
		},
	}
	cfg.Known = func(_, value string) bool { return !strings.HasPrefix(value, "rt_") }
	if change != nil {
		change(&cfg)
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g.Server = s
	return g
}

// send makes one request; lines of head are "Name: value".
func (g *rig) send(method, path, body string, head ...string) *httptest.ResponseRecorder {
	var from io.Reader
	if body != "" {
		from = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, from)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, line := range head {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Content-Type" {
			r.Header.Del(name)
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

const (
	asAlice = "Authorization: Bearer alice"
	asGuest = "Authorization: Bearer guest"
)

// fields of an error envelope.
func refusalOf(t *testing.T, w *httptest.ResponseRecorder) refusal {
	t.Helper()
	var v struct {
		refusal
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("no JSON: %v: %q", err, w.Body.String())
	}
	if v.Success || v.Error == "" || v.Data != nil || v.RequestID == "" {
		t.Errorf("no error envelope: %s", w.Body.String())
	}
	return v.refusal
}

// entries returns the audit log.
func (g *rig) entries() []audit.Entry {
	g.t.Helper()
	read, err := g.db.Read(context.Background(), audit.Stream, 0, 1000)
	if err != nil {
		g.t.Fatal(err)
	}
	out := make([]audit.Entry, len(read.Entries))
	for i, e := range read.Entries {
		if err := json.Unmarshal(e.Body, &out[i]); err != nil {
			g.t.Fatal(err)
		}
	}
	return out
}
