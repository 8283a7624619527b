package pebblestore

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/provisioning-platform/platform/shared/store"
)

// lookupEngine is a Store as package known asks it: what the committer wrote before is synced, so
// it reads the engine itself and not the view of the readers.
type lookupEngine struct{ s *Store }

// Document implements known.Engine.
func (e lookupEngine) Document(k store.Key) (store.Known, error) {
	v, closer, err := e.s.db.Get(keyOfDoc(k))
	if errors.Is(err, pebble.ErrNotFound) {
		return store.Known{}, nil
	}
	if err != nil {
		return store.Known{}, engineFault(err)
	}
	known, body, err := splitDoc(v)
	if err != nil {
		err = engineFault(err)
	} else if kind, _ := e.s.schema.Kind(k.Kind); kind.Summed {
		known.Digest = store.Digest(body)
	}
	return known, firstError(err, closer.Close())
}

// LastID implements known.Engine.
func (e lookupEngine) LastID(kind string) (id string, err error) {
	prefix := key(docKey, kind, "")
	it, err := e.s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return "", engineFault(err)
	}
	if it.Last() {
		id = string(it.Key()[len(prefix):])
	}
	if err := it.Close(); err != nil {
		return "", engineFault(err)
	}
	return id, nil
}

// IDs implements known.Engine.
func (e lookupEngine) IDs(kind string, fn func(id string, size int) bool) error {
	prefix := key(docKey, kind, "")
	it, err := e.s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return engineFault(err)
	}
	for ok := it.First(); ok && fn(string(it.Key()[len(prefix):]), len(it.Key())+len(it.Value())); {
		ok = it.Next()
	}
	if err := it.Close(); err != nil {
		return engineFault(err)
	}
	return nil
}

// Count implements known.Engine.
func (e lookupEngine) Count(kind string) (int64, error) {
	return e.s.counter(store.CounterKey{Kind: kind})
}
