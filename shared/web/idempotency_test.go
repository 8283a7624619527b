package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"errors"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

const key1 = "Idempotency-Key: k1"

// claimTTL is how long an Idempotency-Key is kept (decision 17).
const claimTTL = 24 * time.Hour

func idOf(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var v struct{ Data struct{ ID string } }
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || v.Data.ID == "" {
		t.Fatalf("no id in %s", w.Body.String())
	}
	return v.Data.ID
}

// TestIdempotency_repeatsGetTheFirstAnswer is X10 for the repeat and for another body.
func TestIdempotency_repeatsGetTheFirstAnswer(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	first := g.send("POST", "/things", `{"name":"a"}`, asAlice, key1)
	again := g.send("POST", "/things", `{"name":"a"}`, asAlice, key1)
	if again.Code != 201 || again.Body.String() != first.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" ||
		g.calls != 1 {
		t.Errorf("%d %s, %d calls", again.Code, again.Body.String(), g.calls)
	}
	if first.Header().Get("Idempotency-Replayed") != "" {
		t.Error("the first answer says it is a replay")
	}
	if w := g.send("POST", "/things", `{"name":"b"}`, asAlice, key1); w.Code != 422 {
		t.Errorf("another body: %d", w.Code)
	}
	if w := g.send("POST", "/things", `{"name":"a"}`, "Authorization: Bearer bob", key1); idOf(t, w) == idOf(t, first) {
		t.Error("another user gets the answer")
	}
	if w := g.send("POST", "/things", `{"name":"forbidden"}`, asAlice, key1); w.Code != 403 {
		t.Errorf("a key does not open what is denied: %d", w.Code)
	}
	a, b := g.send("POST", "/things", `{"name":"a"}`, asAlice), g.send("POST", "/things", `{"name":"a"}`, asAlice)
	if idOf(t, a) == idOf(t, b) {
		t.Error("without a key two requests are one")
	}
}

func TestIdempotency_refusalsReplayAndUnknownOutcomesRunAgain(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	a := g.send("POST", "/things", `{"name":"taken"}`, asAlice, key1)
	b := g.send("POST", "/things", `{"name":"taken"}`, asAlice, key1)
	if a.Code != 409 || b.Code != 409 || g.calls != 1 || refusalOf(t, b).Code != "thing.taken" || len(g.entries()) != 1 {
		t.Errorf("%d %d, %d calls, %d entries", a.Code, b.Code, g.calls, len(g.entries()))
	}
	for _, name := range []string{"away", "broken", "panic"} {
		before := g.calls
		for range 2 {
			g.send("POST", "/things", `{"name":"`+name+`"}`, asAlice, "Idempotency-Key: "+name)
		}
		if g.calls != before+2 {
			t.Errorf("%s ran %d times", name, g.calls-before)
		}
	}
}

// A run that died with its process behind the commit of its work is run again, under the same id.
func TestIdempotency_afterACrashTheRunFindsItsOwnID(t *testing.T) {
	t.Parallel()
	var ids []string
	entered, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	hang := func(c *Config) {
		c.Routes = []Route{{Method: "POST", Path: "/t", Op: "t", Permission: Authenticated(), Audit: "t.create",
			Handle: To(func(ctx context.Context, _ None) (Notice, error) {
				ids = append(ids, NewID(ctx))
				if len(ids) == 1 {
					if err := work(ctx, c.Store, audit.Success); err != nil {
						return "", err
					}
					close(entered)
					<-release // as if the process had died: nobody hears of the work
				}
				return Notice(NewID(ctx)), nil
			})}}
	}
	first := newRig(t, hang)
	go first.send("POST", "/t", "", asAlice, key1)
	<-entered
	if w := first.send("POST", "/t", "", asAlice, key1); w.Code != 409 || w.Header().Get("Retry-After") == "" {
		t.Errorf("while it runs: %d", w.Code)
	}
	second := newRig(t, func(c *Config) { hang(c); c.Store = first.db }) // the next process on the same store
	if w := second.send("POST", "/t", "", asAlice, key1); w.Code != 200 || ids[0] != ids[1] {
		t.Errorf("%d, ids %v", w.Code, ids)
	}
}

// Work that goes on without its request claims its key before: a repeat finds it under its id.
func TestIdempotency_whatIsClaimedIsFoundByTheNextProcess(t *testing.T) {
	t.Parallel()
	var ids []string
	entered, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	routes := func(c *Config) {
		c.Routes = []Route{{Method: "POST", Path: "/t", Op: "t", Permission: Authenticated(), Audit: "t.create",
			Handle: To(func(ctx context.Context, _ None) (Notice, error) {
				if err := Claim(ctx); err != nil {
					return "", err
				}
				ids = append(ids, NewID(ctx))
				if len(ids) == 1 {
					close(entered)
					<-release
				}
				return Notice(NewID(ctx)), nil
			})}}
	}
	first := newRig(t, routes)
	go first.send("POST", "/t", "", asAlice, key1)
	<-entered
	second := newRig(t, func(c *Config) { routes(c); c.Store = first.db })
	a := second.send("POST", "/t", "", asAlice, key1)
	b := second.send("POST", "/t", "", asAlice, key1)
	if a.Code != 200 || len(ids) != 2 || ids[0] != ids[1] || b.Body.String() != a.Body.String() {
		t.Errorf("%d %s, again %s, ids %v", a.Code, a.Body, b.Body, ids)
	}
}

// work commits an act of the request, as handlers do.
func work(ctx context.Context, db store.DB, result string) error {
	_, err := audit.Update(ctx, db, &audit.EntryDraft{Action: "t.create", Resource: "t/1", Result: result},
		func(*store.Tx) error { return nil })
	return err
}

// counted is a store that counts commits, and loses the answers to them.
type counted struct {
	store.DB
	commits atomic.Int64
	lost    bool
}

func (c *counted) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	c.commits.Add(1)
	r, err := c.DB.Commit(ctx, b)
	if c.lost {
		return store.Receipt{}, store.ErrUnavailable
	}
	return r, err
}

// TestIdempotency_theCommitOfTheWorkSettlesTheKey: a key cost two commits more than the work, and a
// crash between them ran the work again.
func TestIdempotency_theCommitOfTheWorkSettlesTheKey(t *testing.T) {
	t.Parallel()
	db, result := &counted{}, audit.Success
	var after error
	act := func(ctx context.Context, _ None) error {
		if err := work(ctx, db, result); err != nil {
			return err
		}
		return after
	}
	routes := func(c *Config) {
		if db.DB == nil {
			db.DB = c.Store
		}
		c.Store = db
		route := func(op string, h Handler) {
			c.Routes = append(c.Routes, Route{Method: "POST", Path: "/" + op, Op: op, Permission: Authenticated(), Limit: Free,
				Audit: "t.create", Handle: h})
		}
		c.Routes = nil
		route("do", Do("It is done", act))
		route("to", To(func(ctx context.Context, in None) (Notice, error) { return Notice(NewID(ctx)), act(ctx, in) }))
		route("gone", Do("It is done", func(context.Context, None) error {
			return fault.New(fault.NotFound, "t.not_found", "there is no such thing")
		}))
	}
	first, next := newRig(t, routes), newRig(t, routes) // the next process on the same store
	for i, c := range []struct {
		what, op, result string
		after            error
		lost             bool
		commits          int64
		status           int // of the first answer
		again            int // of the repeat
		replayed         bool
	}{
		{"the answer is known before", "do", audit.Success, nil, false, 1, 200, 200, true},
		{"the answer is known behind the work", "to", audit.Success, nil, false, 2, 200, 200, true},
		{"a refusal that is recorded", "gone", "", nil, false, 1, 404, 404, true},
		{"the work is a refusal", "do", audit.Refused, fault.New(fault.Invalid, "t.wrong_code", "wrong"), false, 2, 422, 422, true},
		{"a failure behind the work", "do", audit.Success, errors.New("broken"), false, 1, 500, 200, true},
		{"the outcome is unknown", "do", audit.Success, nil, true, 1, 503, 200, true},
	} {
		key := fmt.Sprintf("Idempotency-Key: %d", i)
		result, after, db.lost = c.result, c.after, c.lost
		before := db.commits.Load()
		a := first.send("POST", "/"+c.op, "", asAlice, key)
		commits := db.commits.Load() - before
		db.lost = false
		b := next.send("POST", "/"+c.op, "", asAlice, key)
		if a.Code != c.status || commits != c.commits || b.Code != c.again ||
			(b.Header().Get("Idempotency-Replayed") == "true") != c.replayed || db.commits.Load()-before != commits {
			t.Errorf("%s: %d in %d commits, repeated %d %s, replayed %q, %d commits more", c.what, a.Code, commits, b.Code, b.Body,
				b.Header().Get("Idempotency-Replayed"), db.commits.Load()-before-commits)
		}
		if a.Code == b.Code && a.Body.String() != b.Body.String() {
			t.Errorf("%s: %s, repeated %s", c.what, a.Body, b.Body)
		}
	}
}

// TestIdempotency_everyRouteThatChangesSomethingHonoursAKey is decision 50: only some POSTs did.
func TestIdempotency_everyRouteThatChangesSomethingHonoursAKey(t *testing.T) {
	t.Parallel()
	calls := map[string]int{}
	g := newRig(t, func(c *Config) {
		c.Routes = nil
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			for what, p := range map[string]Permission{"policy": Allow("change", "things"), "known": Authenticated(), "open": Open()} {
				c.Routes = append(c.Routes, Route{Method: method, Path: "/" + what + "/:id", Op: method + what, Permission: p, Limit: Free,
					Audit:  "thing.change",
					Handle: To(func(_ context.Context, in byID) (view, error) { calls[in.ID]++; return view{ID: in.ID}, nil })})
			}
		}
	})
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		for what, want := range map[string]int{"policy": 1, "known": 1, "open": 3} {
			name := method + what
			for range 3 {
				if w := g.send(method, "/"+what+"/"+name, "", asAlice, key1); w.Code != 200 {
					t.Errorf("%s: %d %s", name, w.Code, w.Body)
				}
			}
			if calls[name] != want {
				t.Errorf("%s ran %d times, want %d", name, calls[name], want)
			}
			if documented := strings.Contains(operationText(t, g, method, "/"+what+"/{id}"), "Idempotency-Key"); documented != (want == 1) {
				t.Errorf("%s: documented %t", name, documented)
			}
		}
	}
	for _, bad := range [][]string{{asAlice, key1, "Idempotency-Key: k2"}, {asAlice, "Idempotency-Key: "},
		{asAlice, "Idempotency-Key: " + strings.Repeat("k", 257)}} {
		if w := g.send("PUT", "/known/x", "", bad...); w.Code != 400 || calls["x"] != 0 {
			t.Errorf("%.60q: %d", bad, w.Code)
		}
	}
}

// operationText returns the description of an operation as text.
func operationText(t *testing.T, g *rig, method, path string) string {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(g.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	return string(doc.Paths[path][strings.ToLower(method)])
}

// secretView shows a secret once.
type secretView struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// Object names what the secret is of.
func (v secretView) Object() string { return v.ID }

// TestIdempotency_noSecretOfARequestOrAnAnswerIsKept is decision 50: neither a body, nor a hash
// that could be tried against guesses, nor a secret that an answer showed.
func TestIdempotency_noSecretOfARequestOrAnAnswerIsKept(t *testing.T) {
	t.Parallel()
	const body, shown = `{"name":"a rather short password"}`, "shown-once-and-never-again"
	calls := 0
	g := newRig(t, func(c *Config) {
		c.Routes = append(c.Routes, Route{Method: "POST", Path: "/secrets", Op: "createSecret", Permission: Authenticated(), Status: 201,
			Audit: "secret.create", ShowsSecret: true,
			Handle: To(func(ctx context.Context, in thing) (secretView, error) {
				calls++
				return secretView{ID: NewID(ctx), Secret: shown}, nil
			})})
	})
	first := g.send("POST", "/secrets", body, asAlice, key1)
	again := g.send("POST", "/secrets", body, asAlice, key1)
	if first.Code != 201 || !strings.Contains(first.Body.String(), shown) {
		t.Fatalf("%d %s", first.Code, first.Body)
	}
	f := refusalOf(t, again)
	if again.Code != 409 || f.Code != "idempotency.shown_once" || !strings.Contains(f.Error, idOf(t, first)) || calls != 1 {
		t.Errorf("%d %+v, %d calls", again.Code, f, calls)
	}
	if w := g.send("POST", "/secrets", `{"name":"b"}`, asAlice, key1); w.Code != 422 {
		t.Errorf("another body: %d", w.Code)
	}
	page, err := g.db.List(t.Context(), store.Query{Kind: "idempotency", Limit: 10})
	if err != nil || len(page.Docs) != 1 {
		t.Fatal(err, page)
	}
	plain, bare := sha256.Sum256([]byte(body)), sha256.Sum256([]byte("\x00"+body))
	for what, secret := range map[string]string{
		"the body": "password", "the secret": shown, "its hash": hex.EncodeToString(plain[:]),
		"its hash with a blank query": hex.EncodeToString(bare[:]),
	} {
		if strings.Contains(string(page.Docs[0].Body), secret) {
			t.Errorf("%s is kept: %s", what, page.Docs[0].Body)
		}
	}
}

// A refusal for who asks is not the answer to what is asked: who signs in again, or is given the
// right, repeats the request.
func TestIdempotency_refusalsOfACallerAreNotKept(t *testing.T) {
	t.Parallel()
	var refuse error
	g := newRig(t, func(c *Config) {
		c.Routes = []Route{{Method: "PUT", Path: "/t", Op: "t", Permission: Authenticated(), Audit: "t.update",
			Handle: To(func(context.Context, None) (Notice, error) { return "done", refuse })}}
	})
	for i, err := range []error{
		fault.New(fault.Unauthenticated, "auth.sign_in_again", "sign in again"), fault.New(fault.Denied, "authz.denied", "no"),
		fault.New(fault.Throttled, "busy", "later"), fault.New(fault.Conflict, "rollback.running", "wait").After(time.Second),
	} {
		key := fmt.Sprintf("Idempotency-Key: %d", i)
		refuse = err
		if w := g.send("PUT", "/t", "", asAlice, key); w.Code != StatusOf(fault.KindOf(err)) {
			t.Errorf("%v: %d", err, w.Code)
		}
		refuse = nil
		if w := g.send("PUT", "/t", "", asAlice, key); w.Code != 200 || w.Header().Get("Idempotency-Replayed") != "" {
			t.Errorf("after %v: %d", err, w.Code)
		}
	}
}

// TestIdempotency_aClientThatLeavesFindsItsAnswer: the client hangs up while the change is at work.
// It is carried out and its key is settled all the same, so the repeat does nothing twice.
func TestIdempotency_aClientThatLeavesFindsItsAnswer(t *testing.T) {
	t.Parallel()
	ran := 0
	var leave context.CancelFunc
	var db store.DB
	g := newRig(t, func(c *Config) {
		db = c.Store
		c.Routes = []Route{{Method: "POST", Path: "/t", Op: "t", Permission: Authenticated(), Limit: Free, Audit: "t.create",
			Handle: To(func(ctx context.Context, _ None) (Notice, error) {
				ran++
				leave()
				return Notice(NewID(ctx)), audit.Record(ctx, db, audit.EntryDraft{Action: "t.create", Resource: "t/1"})
			})}}
	})
	send := func() *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/t", nil)
		r.Header.Set("Authorization", "Bearer alice")
		r.Header.Set("Idempotency-Key", "k1")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		leave = cancel
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r.WithContext(ctx))
		return w
	}
	first, again := send(), send()
	if first.Code != 200 || again.Header().Get("Idempotency-Replayed") != "true" || again.Body.String() != first.Body.String() || ran != 1 {
		t.Errorf("%d %s, then %d %s; the handler ran %d times", first.Code, first.Body, again.Code, again.Body, ran)
	}
}

// TestIdempotency_anotherIfMatchIsAnotherRequest: who read the object again and repeats with its
// new ETag got the old answer.
func TestIdempotency_anotherIfMatchIsAnotherRequest(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	a := g.send("POST", "/things", `{"name":"a"}`, asAlice, key1, `If-Match: "1"`)
	b := g.send("POST", "/things", `{"name":"a"}`, asAlice, key1, `If-Match: "2"`)
	if a.Code != 201 || b.Code != 422 {
		t.Errorf("%d, then %d %s", a.Code, b.Code, b.Body)
	}
}

// Another process on the same store, with a folder of its own, cannot compare bodies; it still runs
// nothing twice.
// It is X10 for a restart.
func TestIdempotency_aNewOwnerOfTheStoreReplays(t *testing.T) {
	t.Parallel()
	first := newRig(t, nil)
	a := first.send("POST", "/things", `{"name":"a"}`, asAlice, key1)
	second := newRig(t, func(c *Config) { c.Store, c.Key = first.db, []byte("the key of another folder") })
	if b := second.send("POST", "/things", `{"name":"a"}`, asAlice, key1); b.Code != 201 || b.Body.String() != a.Body.String() || second.calls != 0 {
		t.Errorf("%d %s", b.Code, b.Body)
	}
}

// TestIdempotency_aHundredParallelPostsRunOnce is X10, reduced: 100 of 1,000 posts.
func TestIdempotency_aHundredParallelPostsRunOnce(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	g := newRig(t, func(c *Config) {
		c.Routes = []Route{{Method: "POST", Path: "/t", Op: "t", Permission: Authenticated(), Audit: "t.create",
			Handle: To(func(ctx context.Context, _ None) (Notice, error) { calls.Add(1); return Notice(NewID(ctx)), nil })}}
	})
	var wg sync.WaitGroup
	bodies := make([]string, 100)
	for i := range bodies {
		wg.Go(func() {
			for {
				w := g.send("POST", "/t", "", asAlice, key1)
				if w.Code == 200 {
					bodies[i] = w.Body.String()
					return
				}
				if w.Code != 409 {
					t.Errorf("status %d", w.Code)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, b := range bodies {
		if b != bodies[0] {
			t.Errorf("answers differ: %s and %s", b, bodies[0])
		}
	}
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

// TestRun_expiredKeysLeaveTheStore is about the component: Sweep alone was right and nobody called
// it.
func TestRun_expiredKeysLeaveTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- g.Run(ctx) }()
		g.send("POST", "/things", `{"name":"a"}`, asAlice, key1)
		<-time.After(claimTTL + 10*time.Minute + time.Second)
		page, err := g.db.List(ctx, store.Query{Kind: "idempotency", Limit: 10})
		if err != nil || len(page.Docs) != 0 {
			t.Errorf("%d claims left, %v", len(page.Docs), err)
		}
		stop()
		<-done
	})
}

func TestIdempotency_keysExpireAndAreSwept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		first := g.send("POST", "/things", `{"name":"a"}`, asAlice, key1)
		<-time.After(claimTTL)
		if w := g.send("POST", "/things", `{"name":"b"}`, asAlice, key1); w.Code != 201 || idOf(t, w) == idOf(t, first) {
			t.Errorf("after a day: %d", w.Code)
		}
		g.send("POST", "/things", `{"name":"b"}`, asAlice, "Idempotency-Key: k2")
		<-time.After(claimTTL / 2)
		if n, err := idempotency.Sweep(t.Context(), g.db, time.Now()); n != 0 || err != nil {
			t.Errorf("swept %d too early, %v", n, err)
		}
		<-time.After(claimTTL)
		if n, err := idempotency.Sweep(t.Context(), g.db, time.Now()); n != 2 || err != nil {
			t.Errorf("swept %d, %v", n, err)
		}
		page, err := g.db.List(t.Context(), store.Query{Kind: "idempotency", Limit: 10})
		if err != nil || len(page.Docs) != 0 {
			t.Errorf("%d claims left, %v", len(page.Docs), err)
		}
	})
}
