package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// contention lets many writers fight for a few documents: commits and conflicts add up, no
// write is lost, no sequence is missing, and a reader sees the stream grow in order.
func contention(t *testing.T, db store.DB) look {
	const writers, tries, hot = 64, 12, 8
	counter := store.Table[tally]{Kind: "task", ID: func(v tally) string { return v.ID },
		Index: func(v tally) []store.IndexKey {
			return []store.IndexKey{{Name: "state", Value: fmt.Sprint(v.N % 3)}}
		}}
	var commits, conflicts atomic.Int64
	var lock sync.Mutex
	seen := map[uint64]bool{} // sequences in receipts, guarded by lock
	var wg, watcher sync.WaitGroup
	done := make(chan struct{})
	watcher.Go(func() { watch(t, db, done) })
	for w := range writers {
		wg.Go(func() {
			for i := range tries {
				row, err := counter.Get(t.Context(), db, fmt.Sprint((w+i)%hot))
				if err != nil {
					t.Errorf("get: %v", err)
					return
				}
				row.Value.ID = fmt.Sprint((w + i) % hot)
				row.Value.N++
				write, err := counter.Write(row.Value, store.At(row.Rev))
				if err != nil {
					t.Error(err)
					return
				}
				r, err := db.Commit(t.Context(), store.Batch{Writes: []store.Write{write}, Appends: events(row.Value.ID)})
				switch {
				case err == nil:
					commits.Add(1)
					lock.Lock()
					if seen[r.Seqs[0]] || r.Rev <= row.Rev {
						t.Errorf("receipt %v after revision %d: given before", r, row.Rev)
					}
					seen[r.Seqs[0]] = true
					lock.Unlock()
				case fault.Is(err, fault.Conflict):
					conflicts.Add(1)
				default:
					t.Errorf("commit: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(done)
	watcher.Wait()
	won := commits.Load()
	if won == 0 || won+conflicts.Load() != writers*tries {
		t.Errorf("%d commits and %d conflicts, want %d together", won, conflicts.Load(), writers*tries)
	}
	return func(t *testing.T, db store.DB) {
		rows, page, err := counter.List(t.Context(), db, store.Query{Limit: 100, Total: true})
		if err != nil || page.Total != hot || len(rows) != hot {
			t.Fatalf("%d documents, total %d, %v", len(rows), page.Total, err)
		}
		sum, states := 0, map[string]int{}
		for _, r := range rows {
			sum += r.Value.N
			states[fmt.Sprint(r.Value.N%3)]++
		}
		if int64(sum) != won {
			t.Errorf("documents count %d writes, receipts %d", sum, won)
		}
		for s := range 3 {
			q := store.Query{Kind: "task", Index: "state", Prefix: fmt.Sprint(s), Exact: true, Total: true, Limit: 100}
			if page, got := ids(t, db, q); page.Total != states[fmt.Sprint(s)] || len(got) != page.Total {
				t.Errorf("state %d: total %d, %d rows, want %d", s, page.Total, len(got), states[fmt.Sprint(s)])
			}
		}
		e, err := db.Read(t.Context(), "events", 0, store.MaxPage)
		if err != nil || e.Head != uint64(won) || len(e.Entries) != int(won) {
			t.Fatalf("%d entries, head %d, %v; want %d", len(e.Entries), e.Head, err, won)
		}
		for i, entry := range e.Entries {
			if entry.Seq != uint64(i+1) {
				t.Fatalf("entry %d has sequence %d", i, entry.Seq)
			}
		}
	}
}

// tally is a document that counts its writes.
type tally struct {
	ID string `json:"id"`
	N  int    `json:"n"`
}

// watch follows the stream until done and wants every sequence once, in order.
func watch(t *testing.T, db store.DB, done <-chan struct{}) {
	last := uint64(0)
	for {
		e, err := db.Read(t.Context(), "events", last, 100)
		if err != nil {
			t.Errorf("read: %v", err)
			return
		}
		for _, entry := range e.Entries {
			if last++; entry.Seq != last {
				t.Errorf("sequence %d is followed by %d", last-1, entry.Seq)
				return
			}
		}
		if e.Head < last {
			t.Errorf("head %d behind entry %d", e.Head, last)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
