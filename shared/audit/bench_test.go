package audit

import (
	"context"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
)

// attempt is an entry as the orchestrator's engine writes two a task.
func attempt() Entry {
	return Entry{
		Action: "server.create", Actor: Actor{Sub: "0193a0c0-0000-7000-8000-000000000000", Username: "ann"},
		Decision: &DecisionRecord{Allowed: true, Policy: 3, Rule: "p1/0"},
		Details: map[string]any{"attempt": 1, "run": "0193a0c0-0000-7000-8000-000000000001",
			"task": "0193a0c0-0000-7000-8000-000000000002", "decision": "0193a0c0-0000-7000-8000-000000000005"},
		ID: "0193a0c0-0000-7000-8000-000000000003", OpID: "0193a0c0-0000-7000-8000-000000000004", Origin: "orchestrator",
		Phase:    Outcome,
		Resource: "servers/web-01", Result: Success, Time: time.Unix(1_790_000_000, 123_456_000), V: 1,
	}
}

func encoded(b *testing.B, e Entry) []byte {
	body, err := e.Encode()
	if err != nil {
		b.Fatal(err)
	}
	return body
}

// endless is a store with head audit entries, all alike, that costs nothing by itself.
type endless struct {
	store.DB
	head uint64
	page [store.MaxPage]store.Entry // of Read
	body []byte
}

func (e *endless) Read(_ context.Context, _ string, after uint64, limit int) (store.Entries, error) {
	page := e.page[:min(e.head-after, uint64(limit))]
	for i := range page {
		page[i] = store.Entry{Seq: after + uint64(i) + 1, Body: e.body}
	}
	return store.Entries{Entries: page, Head: e.head}, nil
}

// BenchmarkTree extends the tree by an entry, read in pages of the largest size.
func BenchmarkTree(b *testing.B) {
	s := newService(b, "bench/audit/orchestrator")
	defer func() { _ = s.log.hashes.close() }()
	db := &endless{body: encoded(b, attempt())}
	s.log.db = feed.NewHub(db)
	b.ReportAllocs()
	for b.Loop() {
		db.head++
		if db.head%store.MaxPage == 0 {
			if err := s.log.extend(b.Context(), -1); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.SetBytes(int64(len(db.body)))
}

// BenchmarkCopier encodes an entry for its copy, in runs of the largest size.
func BenchmarkCopier(b *testing.B) {
	page := make([]store.Entry, store.MaxPage)
	body := encoded(b, attempt())
	for i := range page {
		page[i].Body = body
	}
	f := NewCopier(nil, quiet, func(_ context.Context, c *Copied) error {
		_ = c.JSON()
		return nil
	})
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n++; n%len(page) == 0 {
			if err := f.Handle(b.Context(), page); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.SetBytes(int64(len(body)))
}

// BenchmarkEncodeTo encodes an entry of the engine, with the writer and, for comparison, with
// encoding/json (ADR 4).
func BenchmarkEncodeTo(b *testing.B) {
	e := attempt()
	b.Run("writer", func(b *testing.B) {
		var w canonical.Writer
		b.ReportAllocs()
		for b.Loop() {
			w.Reset()
			if _, err := e.EncodeTo(&w); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := canonical.Make(e); err != nil {
				b.Fatal(err)
			}
		}
	})
}
