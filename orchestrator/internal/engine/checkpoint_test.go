package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// every returns all documents of a kind.
func every(t testing.TB, db store.DB, kind string) (docs []store.Doc) {
	t.Helper()
	for q := (store.Query{Kind: kind, Limit: store.MaxPage}); ; {
		page, err := db.List(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if docs = append(docs, page.Docs...); !page.More {
			return docs
		}
		q.After = page.Next
	}
}

// standing returns the commits since which operations stand, by a look at all effects.
func standing(t testing.TB, db store.DB) (since []uint64) {
	t.Helper()
	for _, d := range every(t, db, "effect") {
		var x dag.Effect
		if err := json.Unmarshal(d.Body, &x); err != nil {
			t.Fatal(err)
		}
		if x.Era == 0 || !x.Progress.Applied {
			continue
		}
		if x.Since == 0 {
			x.Since = d.Rev
		}
		since = append(since, x.Since)
	}
	return since
}

// TestCheckpoint_isOneSmallDocumentWhateverThereIs fills the inventory with large rows, many more
// than a document or a commit could hold, and takes a checkpoint.
func TestCheckpoint_isOneSmallDocumentWhateverThereIs(t *testing.T) {
	t.Parallel()
	db := memory()
	body, err := canonical.Make(map[string]any{"facts": map[string]string{"text": strings.Repeat("x", 15<<10)}, "kind": "server",
		"name": "s", "provider": "p"})
	if err != nil {
		t.Fatal(err)
	}
	const many = 3000
	var sum store.Sum
	for i := 0; i < many; i += 500 {
		var b store.Batch
		for k := range 500 {
			b.Writes = append(b.Writes, store.Write{Key: store.Key{Kind: "resource", ID: fmt.Sprintf("p/server/s%d", i+k)},
				Expect: store.Absent(), Body: body})
			sum = sum.Plus(store.Digest(body))
		}
		if _, err := db.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	e := engine.New(engine.Config{DB: db, Executor: newWorld()})
	c, err := e.Checkpoints.Take(scene(), run.Checkpoint{Name: "cut"})
	if err != nil || c.Resources != many || c.Hash != sum.String() {
		t.Fatalf("%d resources with the sum %s, %v; want %s", c.Resources, c.Hash, err, sum)
	}
	docs := every(t, db, "checkpoint")
	if len(docs) != 1 || len(docs[0].Body) != c.Size || c.Size > 1024 {
		t.Errorf("%d documents; the first has %d bytes, its size is said to be %d", len(docs), len(docs[0].Body), c.Size)
	}
	for _, k := range run.Schema() {
		if n := len(every(t, db, k.Name)); k.Name != "checkpoint" && k.Name != "resource" && n > 0 {
			t.Errorf("%d documents of kind %s", n, k.Name)
		}
	}
}

// TestCheckpoint_countsExactlyWhileOperationsEnd takes checkpoints at any moment while batches end
// on a store that takes its time and now and then loses a reply, undoes some operations, and starts
// the engine anew. Each checkpoint counts what a look at all effects says.
func TestCheckpoint_countsExactlyWhileOperationsEnd(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 0))
		w, db := newWorld(), memory()
		w.delay, w.spread = time.Millisecond, time.Millisecond
		late := func(n int, _ store.Batch) storetest.Moment {
			<-time.After(time.Duration(n%7) * time.Millisecond)
			return []storetest.Moment{storetest.Never, storetest.Before, storetest.After}[max(0, n%23-20)]
		}
		e := start(t, storetest.Faulty(db, late), w, func(c *engine.Config) { c.Wave = 64 })
		<-time.After(time.Millisecond)
		var points []run.Checkpoint
		for round := range 12 {
			var nodes []dag.Node
			for i := range 20 {
				nodes = append(nodes, servers(fmt.Sprint("op", i), nil, fmt.Sprintf("r%d-%d-a", round, i),
					fmt.Sprintf("r%d-%d-b", round, i)))
			}
			sub := batch(nodes...)
			sub.Definition.ParallelLimit = 1 + rng.IntN(20)
			sub.ID = fmt.Sprintf("01890000-0000-7000-8000-0000%02x000000", round)
			for {
				if _, err := e.Submit(scene(), sub); err == nil {
					break
				}
				<-time.After(time.Second)
			}
			for range 4 {
				<-time.After(time.Duration(rng.IntN(30)) * time.Millisecond)
				if c, err := e.Checkpoints.Take(scene(), run.Checkpoint{Name: "cut"}); err == nil {
					points = append(points, c)
				}
			}
			e.ended(sub.ID)
			if round%4 == 3 {
				if _, err := e.Rollback(scene(), rollback.Request{Operations: []string{sub.ID + "/op3", "op7"}}); err == nil {
					t.Error("an ambiguous operation was undone")
				}
				for {
					if _, err := e.Rollback(scene(), rollback.Request{Operations: []string{sub.ID + "/op3", sub.ID + "/op7"}}); err == nil {
						break
					}
					<-time.After(time.Second)
				}
				e.stop()
				e = start(t, storetest.Faulty(db, late), w, func(c *engine.Config) { c.Wave = 64 })
				<-time.After(time.Second)
			}
		}
		since := standing(t, db)
		between := 0
		for _, c := range points {
			want := 0
			for _, s := range since {
				if s > c.Cut {
					want++
				}
			}
			if n := e.operations(c); n != want {
				t.Errorf("the checkpoint at commit %d (eras %d to %d) counts %d operations, want %d", c.Cut, c.EraFrom, c.EraTo, n, want)
			}
			if want > 0 && want < len(since) {
				between++
			}
		}
		if len(since) != 12*20-3*2 || between < 20 {
			t.Errorf("%d operations stand, %d checkpoints lie between them", len(since), between)
		}
	})
}
