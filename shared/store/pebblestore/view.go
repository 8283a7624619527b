package pebblestore

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// view is one durable state of the store. It lives as long as somebody holds it: the store, while
// it is the newest, and every reader that is at work on it.
type view struct {
	snapshot *pebble.Snapshot
	number   uint64               // last commit number
	heads    map[string]uint64    // last sequence of every stream; never changed
	lows     map[string]uint64    // last trimmed sequence of the streams that were trimmed; never changed
	tails    map[string]tailCache // of the streams that were appended to; never changed
	holders  atomic.Int64
}

func newView(snapshot *pebble.Snapshot, number uint64, heads, lows map[string]uint64, tails map[string]tailCache) *view {
	v := &view{snapshot: snapshot, number: number, heads: heads, lows: lows, tails: tails}
	v.holders.Store(1)
	return v
}

// current returns the newest view, held; the caller releases it.
func (s *Store) current() *view {
	for {
		v := s.view.Load()
		for n := v.holders.Load(); n > 0; n = v.holders.Load() {
			if v.holders.CompareAndSwap(n, n+1) {
				return v
			}
		}
	}
}

func (v *view) release() {
	if v.holders.Add(-1) == 0 {
		_ = v.snapshot.Close()
	}
}
