package pebblestore

import "github.com/provisioning-platform/platform/shared/store"

// recentDocs is how many documents at least are remembered.
const recentDocs = 8192

// recent remembers what the committer wrote last, for a document is mostly written again soon. It forgets in
// halves: what was not written since the last change of halves is gone.
type recent struct {
	young, old map[store.Key]store.Known
}

func (r *recent) get(k store.Key) (store.Known, bool) {
	if known, ok := r.young[k]; ok {
		return known, true
	}
	known, ok := r.old[k]
	return known, ok
}

// keep takes in what a group of commits has written durably.
func (r *recent) keep(finals []store.Final) {
	if len(r.young) >= recentDocs || r.young == nil {
		r.young, r.old = make(map[store.Key]store.Known, recentDocs), r.young
	}
	for i := range finals {
		r.young[finals[i].Key] = finals[i].Now
	}
}
