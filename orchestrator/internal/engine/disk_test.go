package engine_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/history"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/pebblestore"
	"github.com/provisioning-platform/platform/shared/store/pebblestore/pebbletest"
)

var scaleRuns = flag.Int("runs", 12_000, "runs of TestHistory_diskIsThatOfTheKeptRange; make scale takes 500,000")

// TestHistory_diskIsThatOfTheKeptRange is the bar's R02 for history: many runs with a checkpoint
// of a person at their beginning, of which retention keeps a tenth. The disk takes at most 5 %
// more than a store that only ever had what is kept, totals are what they were, and a rollback to
// the checkpoint undoes everything.
func TestHistory_diskIsThatOfTheKeptRange(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 20 seconds")
	}
	total := *scaleRuns
	schema := store.Schema{Service: "orchestrator", Kinds: slices.Concat(run.Schema(), retention.Kinds(), feed.Kinds())}
	dir, lean := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "lean")
	open := func(dir string) store.DB {
		db, err := pebblestore.Open(dir, schema, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	shut := func(db store.DB) {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	w, db := newWorld(), open(dir)
	e := start(t, db, w)
	c := e.checkpoint("before everything")
	began := time.Now()
	var clients sync.WaitGroup
	for client := range 64 {
		clients.Go(func() {
			for i := client; i < total; i += 64 {
				if _, err := e.Submit(scene(), workflow(fmt.Sprintf("server-%06d", i))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	ended := func() int { return int(e.class("runs").Ever["workflow/completed"]) }
	for ended() < total && !t.Failed() {
		if time.Since(began) > time.Minute+time.Duration(total)*10*time.Millisecond {
			t.Fatalf("%d of %d runs have ended", ended(), total)
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Logf("%d runs ended after %s", total, time.Since(began).Round(time.Millisecond))
	full := kept(t, db)

	keep := history.Keep{Runs: retention.KeepRule{Max: total / 10}, Events: retention.KeepRule{Max: total / 2}}
	p := &retention.Pruner{DB: db, Classes: history.Classes(db, keep, e.Engine), Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	began = time.Now()
	go func() { done <- p.Run(ctx) }()
	for e.class("runs").Rows > total/10 {
		<-time.After(50 * time.Millisecond)
	}
	t.Logf("pruned after %s", time.Since(began).Round(time.Millisecond))
	<-time.After(15 * time.Second) // the store looks every 10 s what is worth freeing
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := ended(); n != total || e.operations(c) != total {
		t.Errorf("%d runs ever and %d operations after the checkpoint, want %d", n, e.operations(c), total)
	}
	if rows := kept(t, db); rows["task"] != total/10 || rows["effect"] != total {
		t.Errorf("kept are %v, before %v", rows, full)
	}
	e.stop()
	other := open(lean)
	copyStore(t, db, other, schema)
	shut(other)
	shut(db)
	pebbletest.Merge(t, lean)
	got, want := pebbletest.TableBytes(t, dir), pebbletest.TableBytes(t, lean)
	t.Logf("%d bytes on disk, %d for what is kept alone", got, want)
	if got > want*105/100 {
		t.Errorf("%d bytes on disk for what takes %d", got, want)
	}

	db = open(dir)
	defer func() { _ = db.Close() }()
	e = start(t, db, w)
	began = time.Now()
	for {
		res, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
		if err == nil {
			if res.Executed != total || res.Failed != 0 || w.left() != 0 {
				t.Errorf("rolled back %+v, %d left", res, w.left())
			}
			break
		}
		if time.Since(began) > 10*time.Second { // it takes a moment to take over what is stored
			t.Fatal(err)
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Logf("rolled back after %s", time.Since(began).Round(time.Millisecond))
	e.stop()
}

// kept returns how many documents of each kind there are.
func kept(t *testing.T, db store.DB) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, k := range run.Schema() {
		page, err := db.List(context.Background(), store.Query{Kind: k.Name, Total: true})
		if err != nil {
			t.Fatal(err)
		}
		n[k.Name] = page.Total
	}
	return n
}

// copyStore copies all documents and the kept entries of all streams.
func copyStore(t *testing.T, from, to store.DB, schema store.Schema) {
	t.Helper()
	for _, k := range schema.Kinds {
		q := store.Query{Kind: k.Name, Limit: store.MaxPage}
		for more := true; more; {
			page, err := from.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			var b store.Batch
			for _, d := range page.Docs {
				b.Writes = append(b.Writes, store.Write{Key: d.Key, Expect: store.Absent(), Index: d.Index, Body: d.Body})
			}
			if len(b.Writes) > 0 {
				if _, err := to.Commit(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			q.After, more = page.Next, page.More
		}
	}
	for _, stream := range []string{run.EventStream, audit.Stream} {
		for after, more := uint64(0), true; more; {
			page, err := from.Read(t.Context(), stream, after, store.MaxPage)
			if err != nil {
				t.Fatal(err)
			}
			var b store.Batch
			for _, e := range page.Entries {
				b.Appends, after = append(b.Appends, store.Append{Stream: stream, Body: e.Body}), e.Seq
			}
			if more = len(b.Appends) > 0; more {
				if _, err := to.Commit(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
