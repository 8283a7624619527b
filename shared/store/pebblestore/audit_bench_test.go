package pebblestore

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
)

// BenchmarkRecord appends audit entries, durable, while the log extends its tree and signs heads,
// beside a raw log of the same bytes. It stands here because the raw log does.
func BenchmarkRecord(b *testing.B) {
	for _, callers := range []struct {
		name string
		n    int
	}{{"callers=1", 1}, {"callers=256", 256}} {
		b.Run(callers.name, func(b *testing.B) {
			db, err := Open(b.TempDir(), store.Schema{Service: "bench", Kinds: append(audit.Kinds(), feed.Kinds()...)}, quiet)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			hub := feed.NewHub(db)
			keys, err := audit.MakeKeys(filepath.Join(b.TempDir(), "keys"), "bench/audit/orchestrator")
			if err != nil {
				b.Fatal(err)
			}
			log, err := audit.Open(b.Context(), audit.Options{DB: hub, Dir: filepath.Join(b.TempDir(), "audit"), Keys: keys, Log: quiet})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			var running sync.WaitGroup
			running.Go(func() { _ = log.Run(ctx) })
			raw := newRawLog(b)
			defer raw.close()
			b.ResetTimer()
			record(b, hub, callers.n)
			b.StopTimer()
			rate := float64(b.N) / b.Elapsed().Seconds()
			cancel()
			running.Wait()
			b.ResetTimer() // the clock of the limit
			b.StartTimer()
			record(b, raw, callers.n)
			b.StopTimer()
			b.ReportMetric(rate, "entries/s")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "raw-entries/s")
		})
	}
}

// record appends b.N entries from some callers at once.
func record(b *testing.B, db store.DB, callers int) {
	ctx := audit.WithContext(b.Context(), &audit.Context{Actor: audit.Actor{Sub: "0193a0c0-0000-7000-8000-000000000000"},
		Origin: "orchestrator"})
	act := audit.EntryDraft{Action: "checkpoint.create", Resource: "checkpoints/0193a0c0-0000-7000-8000-000000000000"}
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := audit.Record(ctx, db, act); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
