package surrealstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/surrealstore/surrealtest"
)

func plain(id string) store.Key { return store.Key{Kind: "plain", ID: id} }

// TestCommit_lostReplyIsSettled cuts the connection around one commit and wants it done exactly
// once, whether or not the engine had it. It is D09, reduced: 4 of 2,000 cuts, one at each place.
func TestCommit_lostReplyIsSettled(t *testing.T) {
	for name, mode := range map[string]breakage{
		"replyLost": loseReplies, "requestLost": loseRequests, "cutWhileRunning": cutAfterward, "cutBefore": cut,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, password := surrealtest.Start(t)
			p, through := newProxy(t, at)
			s := open(t, through, password, schema)
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			if _, err := s.Commit(ctx, store.Batch{Appends: []store.Append{{Stream: "events", Body: []byte("first")}}}); err != nil {
				t.Fatal(err)
			}
			p.set(mode)
			r, err := s.Commit(ctx, store.Batch{
				Writes:  []store.Write{{Key: plain("x"), Expect: store.Absent(), Body: []byte(`{"n":1}`)}},
				Appends: []store.Append{{Stream: "events", Body: []byte("second")}},
			})
			if err != nil {
				t.Fatal(err)
			}
			e, err := s.Read(ctx, "events", 0, 10)
			if err != nil || e.Head != 2 || r.Seqs[0] != 2 || string(e.Entries[1].Body) != "second" {
				t.Errorf("receipt %v, stream %v, %v", r, e, err)
			}
			if d, err := s.Get(ctx, plain("x")); err != nil || d.Rev != r.Rev {
				t.Errorf("document %+v, %v; want revision %d", d, err, r.Rev)
			}
		})
	}
}

// TestSettle_claimedCallCannotCommit claims a call's record first: the call that arrives later
// writes nothing.
func TestSettle_claimedCallCannotCommit(t *testing.T) {
	at, password := surrealtest.Start(t)
	s := open(t, at, password, schema)
	ctx := t.Context()
	j, err := store.Judge(schema, store.Baseline{Lookup: func(store.Key) (store.Known, error) { return store.Known{}, nil }},
		[]store.Batch{{Appends: []store.Append{{Stream: "events", Body: []byte("late")}}}})
	if err != nil {
		t.Fatal(err)
	}
	late := s.newCall(nil, &j)
	if committed, err := s.settle(ctx, late.id, errors.New("reply lost")); committed || !errors.As(err, &undone{}) {
		t.Fatalf("settled as %v, %v", committed, err)
	}
	if _, err := s.link.query(ctx, s.texts.commit, late.vars); err == nil {
		t.Error("the claimed call was applied")
	}
	if committed, err := s.settle(ctx, late.id, errors.New("reply lost")); committed || !errors.As(err, &undone{}) {
		t.Errorf("settled again as %v, %v", committed, err)
	}
	if e, err := s.Read(ctx, "events", 0, 10); err != nil || e.Head != 0 {
		t.Errorf("stream %v, %v", e, err)
	}
}

// TestLink_halfOpenIsNoticed leaves a connection standing that carries nothing any more.
func TestLink_halfOpenIsNoticed(t *testing.T) {
	t.Parallel()
	at, password := surrealtest.Start(t)
	p, through := newProxy(t, at)
	s := open(t, through, password, schema)
	p.set(blackHole)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := s.Get(ctx, plain("x")); err != nil {
		t.Errorf("not noticed within 10 s, or not dialled anew: %v", err)
	}
}

// TestCommit_underFaults has two stores write one database through connections that break, and
// wants no acknowledged change lost, none doubled and no gap.
func TestCommit_underFaults(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	at, password := surrealtest.Start(t)
	p, through := newProxy(t, at)
	stores := []*Store{open(t, through, password, schema), open(t, at, password, schema)}

	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	acked := make([]map[string]bool, 8)
	var writers sync.WaitGroup
	for w := range acked {
		acked[w] = map[string]bool{}
		writers.Go(func() { write(ctx, stores[w%2], w, acked[w]) })
	}
	tick := time.NewTicker(700 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			p.set([]breakage{cut, loseReplies, loseRequests, cutAfterward}[random.IntN(4)])
		case <-ctx.Done():
		}
	}
	writers.Wait()

	seen := map[string]int{}
	for after := uint64(0); ; {
		e, err := stores[1].Read(t.Context(), "events", after, store.MaxPage) // complains about gaps itself
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range e.Entries {
			seen[string(entry.Body)]++
		}
		if after += uint64(len(e.Entries)); after == e.Head {
			break
		}
	}
	total := 0
	for w := range acked {
		for name := range acked[w] {
			if total++; seen[name] == 0 {
				t.Errorf("%s was acknowledged and is lost", name)
			}
		}
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", name, n)
		}
	}
	t.Logf("%d acknowledged, %d stored", total, len(seen))
	if total < 20 {
		t.Error("too few commits to show anything")
	}
}

// write commits one numbered entry after the other; each also rewrites the writer's document on its
// revision and a document that all writers share. After an unknown outcome it looks what is stored.
func write(ctx context.Context, s *Store, w int, acked map[string]bool) {
	key := plain(fmt.Sprintf("writer-%d", w))
	var rev uint64
	for n := 1; ctx.Err() == nil; {
		body, err := json.Marshal(map[string]int{"n": n})
		if err != nil {
			return
		}
		name := fmt.Sprintf("%d-%d", w, n)
		r, err := s.Commit(ctx, store.Batch{
			Writes: []store.Write{
				{Key: key, Expect: store.At(rev), Body: body},
				{Key: plain("shared"), Expect: store.Any(), Body: body},
			},
			Appends: []store.Append{{Stream: "events", Body: []byte(name)}},
		})
		if err == nil {
			acked[name] = true
			rev, n = r.Rev, n+1
			continue
		}
		d, err := s.Get(ctx, key)
		if err != nil {
			continue
		}
		var stored struct {
			N int `json:"n"`
		}
		if d.Exists() && json.Unmarshal(d.Body, &stored) != nil {
			return
		}
		rev, n = d.Rev, stored.N+1
	}
}
