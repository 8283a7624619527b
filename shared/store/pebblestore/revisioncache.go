package pebblestore

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/provisioning-platform/platform/shared/store"
)

// recentDocs is how many documents at least are remembered.
const recentDocs = 8192

// recent is what the committer knows without a look into the engine: what it wrote last, for a document is mostly
// written again soon, and of each kind an id above which it knows all, for most new documents have ids that rise with
// time and a look for what is not there is the dearest. It forgets in halves: what was not written since the last
// change of halves is gone.
type revisionCache struct {
	half       int // documents
	young, old map[store.Key]store.Known
	floors     map[string]string // by kind: a document with a larger id is in young or old, or does not exist
}

// get returns what is known of a document; false means that the engine has to be asked.
func (r *revisionCache) get(k store.Key) (store.Known, bool) {
	if known, ok := r.young[k]; ok {
		return known, true
	}
	if known, ok := r.old[k]; ok {
		return known, true
	}
	floor, ok := r.floors[k.Kind]
	return store.Known{}, ok && k.ID > floor
}

// keep takes in what a group of commits has written durably.
func (r *revisionCache) keep(finals []store.Final) {
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

// known is the judge's lookup. The committer reads the engine itself: all it wrote before is synced.
func (s *Store) known(k store.Key) (store.Known, error) {
	if known, ok := s.recent.get(k); ok {
		return known, nil
	}
	if _, ok := s.recent.floors[k.Kind]; !ok {
		last, err := s.lastID(k.Kind)
		if err != nil {
			return store.Known{}, err
		}
		s.recent.floors[k.Kind] = last
		if k.ID > last {
			return store.Known{}, nil
		}
	}
	if s.absent(k) {
		return store.Known{}, nil
	}
	s.ask(k.Kind)
	v, closer, err := s.db.Get(keyOfDoc(k))
	if errors.Is(err, pebble.ErrNotFound) {
		return store.Known{}, nil
	}
	if err != nil {
		return store.Known{}, engineFault(err)
	}
	known, body, err := splitDoc(v)
	if err != nil {
		err = engineFault(err)
	} else if kind, _ := s.schema.Kind(k.Kind); kind.Summed {
		known.Digest = store.Digest(body)
	}
	return known, firstError(err, closer.Close())
}

// lastID returns the largest id of the kind in the engine; "" when there is none.
func (s *Store) lastID(kind string) (id string, err error) {
	span := key(docKey, kind, "")
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: span, UpperBound: after(span)})
	if err != nil {
		return "", engineFault(err)
	}
	if it.Last() {
		id = string(it.Key()[len(span):])
	}
	if err := it.Close(); err != nil {
		return "", engineFault(err)
	}
	return id, nil
}
