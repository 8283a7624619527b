package web

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
)

const key1 = "Idempotency-Key: k1"

func idOf(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var v struct{ Data struct{ ID string } }
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || v.Data.ID == "" {
		t.Fatalf("no id in %s", w.Body.String())
	}
	return v.Data.ID
}

func TestIdempotency_repeatsGetTheFirstAnswer(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	first := g.send("POST", "/things", `{"name":"a"}`, asAlice, key1)
	again := g.send("POST", "/things", `{"name":"a"}`, asAlice, key1)
	if again.Code != 201 || again.Body.String() != first.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" || g.calls != 1 {
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

// A run that died with its process is run again, under the same id.
func TestIdempotency_afterACrashTheRunFindsItsOwnID(t *testing.T) {
	t.Parallel()
	var ids []string
	entered, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	hang := func(c *Config) {
		c.Routes = []Route{{Method: "POST", Path: "/t", Op: "t", Permission: Authenticated(), Audit: "t.create", Idempotent: true,
			Handle: To(func(ctx context.Context, _ None) (Text, error) {
				ids = append(ids, NewID(ctx))
				if len(ids) == 1 {
					close(entered)
					<-release // as if the process had died: the claim stays running
				}
				return Text(NewID(ctx)), nil
			})}}
	}
	first := newRig(t, hang)
	go func() {
		r := httptest.NewRequest("POST", "/t", nil)
		r.Header.Set("Authorization", "Bearer alice")
		r.Header.Set("Idempotency-Key", "k1")
		first.ServeHTTP(httptest.NewRecorder(), r)
	}()
	<-entered
	if w := first.send("POST", "/t", "", asAlice, key1); w.Code != 409 || w.Header().Get("Retry-After") == "" {
		t.Errorf("while it runs: %d", w.Code)
	}
	second := newRig(t, func(c *Config) { hang(c); c.Store = first.db }) // the next process on the same store
	if w := second.send("POST", "/t", "", asAlice, key1); w.Code != 200 || ids[0] != ids[1] {
		t.Errorf("%d, ids %v", w.Code, ids)
	}
}

func TestIdempotency_aHundredParallelPostsRunOnce(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	g := newRig(t, func(c *Config) {
		c.Routes = []Route{{Method: "POST", Path: "/t", Op: "t", Permission: Authenticated(), Audit: "t.create", Idempotent: true,
			Handle: To(func(ctx context.Context, _ None) (Text, error) { calls.Add(1); return Text(NewID(ctx)), nil })}}
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
		if n, err := Sweep(t.Context(), g.db, time.Now()); n != 0 || err != nil {
			t.Errorf("swept %d too early, %v", n, err)
		}
		<-time.After(claimTTL)
		if n, err := Sweep(t.Context(), g.db, time.Now()); n != 2 || err != nil {
			t.Errorf("swept %d, %v", n, err)
		}
		page, err := g.db.List(t.Context(), store.Query{Kind: claimKind, Limit: 10})
		if err != nil || len(page.Docs) != 0 {
			t.Errorf("%d claims left, %v", len(page.Docs), err)
		}
	})
}
