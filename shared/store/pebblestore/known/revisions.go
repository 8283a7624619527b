// Tuning: the revision cache. Without it a document that is made and changed twice takes 50 µs more
// CPU in a store of a million after a restart, which is 40 % of a task, for such a store has no
// filter (shared/adr/0003-pebble-settings.md).

package known

import "github.com/provisioning-platform/platform/shared/store"

// revisionsHalf is the number of documents in one half of the revision cache: it holds between one
// and two halves.
const revisionsHalf = 8192

// revisions remembers what the committer wrote last, because a document is mostly written again
// soon. Of each kind it also knows an id, the floor, above which it remembers every document:
// most new documents have ids that rise with time, and to look for what is not there is the dearest
// question to the engine. It forgets in halves: what was not written since the halves were last
// exchanged is gone.
type revisions struct {
	half       int // documents
	young, old map[store.Key]store.Known
	floors     map[string]string // by kind: a document with a larger id is in young or old, or does not exist
}

func newRevisions(half int) revisions {
	return revisions{half: half, young: map[store.Key]store.Known{}, floors: map[string]string{}}
}

// get returns what is known of a document, and whether that is sure; when it is not, the engine has
// to be asked. lastID gives the first floor of a kind.
func (r *revisions) get(k store.Key, lastID func(kind string) (string, error)) (_ store.Known, sure bool, err error) {
	if !cacheRevisions {
		return store.Known{}, false, nil
	}
	if known, ok := r.young[k]; ok {
		return known, true, nil
	}
	if known, ok := r.old[k]; ok {
		return known, true, nil
	}
	floor, ok := r.floors[k.Kind]
	if !ok {
		if floor, err = lastID(k.Kind); err != nil {
			return store.Known{}, false, err
		}
		r.floors[k.Kind] = floor
	}
	return store.Known{}, k.ID > floor, nil
}

// keep takes in what a group has written.
func (r *revisions) keep(finals []store.Final) {
	if !cacheRevisions {
		return
	}
	if len(r.young) >= r.half {
		for k := range r.old {
			if floor, ok := r.floors[k.Kind]; ok && k.ID > floor {
				r.floors[k.Kind] = k.ID
			}
		}
		r.young, r.old = make(map[store.Key]store.Known, r.half), r.young
	}
	for i := range finals {
		r.young[finals[i].Key] = finals[i].Now
	}
}
