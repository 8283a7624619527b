// Tuning: the filter of a kind's ids. Without it a task of layers of 50 at a provider that takes
// 1 ms takes 13 % more CPU (shared/adr/0003-pebble-settings.md).

package known

import (
	"sync/atomic"

	"github.com/provisioning-platform/platform/shared/store"
)

// kindFilter is the Bloom filter of one kind. It comes when the engine was asked bloomAsked times
// for documents that it does not have or that the revision cache does not know.
type kindFilter struct {
	asked atomic.Int64 // questions to the engine, of all goroutines
	tried bool         // of the committer: Fill has seen to it
	ids   atomic.Pointer[bloom]
}

func (f *kindFilter) add(id string) {
	if ids := f.ids.Load(); ids != nil {
		ids.add(id)
	}
}

// Absent says whether there is certainly no document with that key, of those that are durable.
func (l *Lookup) Absent(k store.Key) bool {
	ids := l.filters[l.place(k.Kind)].ids.Load()
	return ids != nil && !ids.has(k.ID)
}

// Missed counts a question to the engine that a filter might have spared.
func (l *Lookup) Missed(kind string) { l.filters[l.place(kind)].asked.Add(1) }

// Fill makes the filters for which it is time. It is called between two groups.
func (l *Lookup) Fill() {
	if !filterIDs {
		return
	}
	for place := range l.filters {
		f := &l.filters[place]
		if f.tried || f.asked.Load() < bloomAsked {
			continue
		}
		f.tried = true
		kind := l.kinds[place].Name
		n, err := l.engine.Count(kind)
		if err != nil || n > bloomNames {
			continue
		}
		if ids := bloomOf(func(fn func(string, int) bool) error { return l.engine.IDs(kind, fn) }); ids != nil {
			f.ids.Store(ids)
		}
	}
}
