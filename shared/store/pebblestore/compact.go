package pebblestore

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
)

// The engine frees the space of what was deleted when it happens to merge the tables that hold it,
// which for the oldest rows, at rest at the bottom, may be never. So compact has spans merged in
// which much was deleted.
const (
	tidyEvery = 10 * time.Second
	tidyRows  = 10_000 // deleted rows of a span that are worth a merge
	tidyShare = 50     // or, if that is more, this part of the rows that are kept: one in so many
)

// deletions counts what was deleted and not merged away yet, by span of keys.
type deletions struct {
	mu    sync.Mutex
	spans map[string]*deleted // under mu: by the prefix that the keys of a span share
}

// deleted is the part of a span in which rows were deleted.
type deleted struct {
	kind     string // of documents; empty for a stream
	from, to []byte // of the keys, to excluded
	rows     int    // deleted
}

// note takes in what a group has deleted. lows are those before it.
func (w *deletions) note(lows map[string]uint64, j *store.Judgement) {
	for i := range j.Finals {
		f := &j.Finals[i]
		if f.Now.Rev != 0 || f.Was.Rev == 0 {
			continue
		}
		k := keyOfDoc(f.Key)
		w.add(key(docKey, f.Key.Kind, ""), deleted{kind: f.Key.Kind, from: k, to: append(k, 0), rows: 1})
	}
	for stream, low := range j.Lows {
		before := lows[stream]
		w.add(key(entryKey, stream, ""), deleted{from: keyOfEntry(stream, before+1), to: keyOfEntry(stream, low+1),
			rows: int(low - before)})
	}
}

func (w *deletions) add(prefix []byte, more deleted) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.spans == nil {
		w.spans = map[string]*deleted{}
	}
	s := w.spans[string(prefix)]
	if s == nil {
		w.spans[string(prefix)] = &more
		return
	}
	if s.rows += more.rows; bytes.Compare(more.from, s.from) < 0 {
		s.from = more.from
	}
	if bytes.Compare(more.to, s.to) > 0 {
		s.to = more.to
	}
}

// take returns the spans with so many deleted rows and forgets them.
func (w *deletions) take(least int) map[string]*deleted {
	w.mu.Lock()
	defer w.mu.Unlock()
	due := map[string]*deleted{}
	for prefix, s := range w.spans {
		if s.rows >= least {
			due[prefix] = s
			delete(w.spans, prefix)
		}
	}
	return due
}

// compact frees space until the store is closed.
func (s *Store) compact() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.closing:
		case <-s.dead:
		case <-ctx.Done():
		}
		cancel()
	}()
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.free(ctx, tidyRows)
		case <-ctx.Done():
			return
		}
	}
}

// free merges the spans in which at least so many rows were deleted, and the indexes of the kinds
// among them, one call at a time. What fails is only not freed.
func (s *Store) free(ctx context.Context, least int) {
	s.freeing.Lock()
	defer s.freeing.Unlock()
	for prefix, w := range s.waste.take(least) {
		if w.kind != "" && w.rows < s.documents(ctx, w.kind)/tidyShare {
			s.waste.add([]byte(prefix), *w)
			continue
		}
		err := s.db.Compact(ctx, w.from, w.to, false)
		if w.kind != "" && err == nil {
			rows := key(indexKey, w.kind, "")
			err = s.db.Compact(ctx, rows, after(rows), false)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("store: the space of deleted rows is not freed yet", "error", err)
		}
	}
}

// documents returns how many documents of a kind there are; 0 when that cannot be read.
func (s *Store) documents(ctx context.Context, kind string) int {
	page, err := s.List(ctx, store.Query{Kind: kind, Total: true})
	if err != nil {
		return 0
	}
	return page.Total
}
