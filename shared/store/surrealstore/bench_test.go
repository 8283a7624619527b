package surrealstore

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/surrealstore/surrealtest"
)

var benchSchema = store.Schema{Service: "bench", Kinds: []store.Kind{
	{Name: "run", Indexes: []string{"state"}}, {Name: "task", Indexes: []string{"state"}},
}}

var benchBody = []byte(`{"text":"` + strings.Repeat("x", 335) + `"}`)

// BenchmarkCommit commits the batch of the design notes (a run header and two tasks on their
// revisions, three entries, about 2.9 kB in six records), beside the engine's bare rate of
// inserting 100 such rows a call in the same run, and prints the ratio in records.
func BenchmarkCommit(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			at, password := surrealtest.Start(b)
			s := open(b, at, password, benchSchema)
			limit := bareInserts(b, s)
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			b.ResetTimer()
			for c := range callers {
				all.Go(func() { commitUntil(b, s, c, &left) })
			}
			all.Wait()
			rate := float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "batches/s")
			b.ReportMetric(6*rate, "records/s")
			b.ReportMetric(limit, "bare-records/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// commitUntil commits batches of one caller until none are left.
func commitUntil(b *testing.B, s *Store, caller int, left *atomic.Int64) {
	var rev uint64
	state := []store.IndexKey{{Name: "state", Value: "running"}}
	for n := 0; left.Add(-1) >= 0; n++ {
		expect := store.At(rev)
		w := func(kind, id string) store.Write {
			return store.Write{Key: store.Key{Kind: kind, ID: fmt.Sprintf("%s-%d", id, caller)}, Expect: expect, Index: state,
				Body: benchBody}
		}
		r, err := s.Commit(b.Context(), store.Batch{
			Writes: []store.Write{w("run", "r"), w("task", "a"), w("task", "b")},
			Appends: []store.Append{{Stream: "events", Body: benchBody}, {Stream: "events", Body: benchBody},
				{Stream: "audit", Body: benchBody}},
		})
		if err != nil {
			b.Error(err)
			return
		}
		rev = r.Rev
	}
}

// bareInserts returns the records a second of one INSERT of 100 rows a call.
func bareInserts(b *testing.B, s *Store) float64 {
	b.Helper()
	const rows, calls = 100, 60
	start := time.Now()
	for c := range calls {
		batch := make([]any, rows)
		for i := range batch {
			batch[i] = map[string]any{"id": []any{"bare", c*rows + i + 1}, "b": string(benchBody)}
		}
		if _, err := s.link.query(b.Context(), "INSERT INTO bench__entry $rows RETURN NONE", map[string]any{"rows": batch}); err != nil {
			b.Fatal(err)
		}
	}
	return rows * calls / time.Since(start).Seconds()
}
