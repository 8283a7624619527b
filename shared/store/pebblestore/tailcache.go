package pebblestore

import (
	"maps"

	"github.com/provisioning-platform/platform/shared/store"
)

// tailBytes bounds the entries of a stream that are kept in memory.
const tailBytes = 2 << 20

// tailCache is the newest entries of a stream, without a gap up to its head. Followers read right
// behind the commits, several of them the same entries, and to find these in the engine costs more
// than to keep them.
type tailCache struct {
	entries []store.Entry // bodies are shared with readers
	bytes   int
}

// read returns up to limit entries with sequences above after; false when they are not all here.
func (t tailCache) read(after uint64, limit int) ([]store.Entry, bool) {
	if len(t.entries) == 0 || after+1 < t.entries[0].Seq {
		return nil, false
	}
	from := int(after + 1 - t.entries[0].Seq)
	to := min(len(t.entries), from+limit)
	return t.entries[from:to:to], true
}

// keep returns the tails after the appends of a group. What earlier tails hold stays as it is.
func keep(tails map[string]tailCache, appends []store.SequencedEntry) map[string]tailCache {
	now := make(map[string]tailCache, len(tails)+1)
	maps.Copy(now, tails)
	for i := range appends {
		p := &appends[i]
		t := now[p.Stream]
		t.entries = append(t.entries, store.Entry{Seq: p.Seq, Body: p.Body})
		if t.bytes += len(p.Body); t.bytes > tailBytes {
			t = t.shorter()
		}
		now[p.Stream] = t
	}
	return now
}

// shorter returns the newer half of a tail, by bytes.
func (t tailCache) shorter() tailCache {
	from, bytes := len(t.entries), 0
	for from > 0 && bytes+len(t.entries[from-1].Body) <= tailBytes/2 {
		from--
		bytes += len(t.entries[from].Body)
	}
	return tailCache{append(make([]store.Entry, 0, 2*(len(t.entries)-from)), t.entries[from:]...), bytes}
}
