package pebblestore

import (
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/provisioning-platform/platform/shared/store"
)

// apply puts a judgement into the engine: what comes later sees it, and its log is on the way to the disk.
func (s *Store) apply(b *pebble.Batch, j store.Judgement) error {
	b.Reset() // not behind a commit: a failed one may still be in use somewhere in the engine
	if err := s.writeDocs(b, j.Finals); err != nil {
		return engineFault(err)
	}
	for _, p := range j.Appends {
		s.keyRoom = appendEntryKey(s.keyRoom[:0], p.Stream, p.Seq)
		if err := b.Set(s.keyRoom, p.Body, nil); err != nil {
			return engineFault(err)
		}
	}
	for c, n := range j.Counts {
		if err := s.addCount(b, c, n); err != nil {
			return err
		}
	}
	if err := b.Set(numberKey, binary.BigEndian.AppendUint64(nil, j.Number), nil); err != nil {
		return engineFault(err)
	}
	if err := s.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		s.fail(err)
		return engineFault(err)
	}
	return nil
}

// writeDocs writes the difference that a group makes to documents and their index rows. Rows that are neighbours in the
// engine are written one after the other, which spares it searches: kind by kind the documents, then index by index the
// rows that go and those that come, each in the order of first touch, which is mostly that of the ids.
func (s *Store) writeDocs(b *pebble.Batch, finals []store.Final) error {
	defer func() { clear(s.same) }()
	for _, kind := range s.schema.Kinds {
		clear(s.same)
		s.same = s.same[:0]
		for i := range finals {
			if finals[i].Key.Kind == kind.Name {
				s.same = append(s.same, &finals[i])
			}
		}
		if len(s.same) == 0 {
			continue
		}
		for _, f := range s.same {
			if err := s.writeDoc(b, &kind, f); err != nil {
				return err
			}
		}
		for _, name := range kind.Indexes {
			for _, f := range s.same {
				if x, ok := missing(f.Was.Index, f.Now.Index, name); ok {
					s.keyRoom = appendIndexKey(s.keyRoom[:0], kind.Name, x, f.Key.ID)
					if err := b.Delete(s.keyRoom, nil); err != nil {
						return err
					}
				}
			}
			for _, f := range s.same {
				if x, ok := missing(f.Now.Index, f.Was.Index, name); ok {
					s.keyRoom = appendIndexKey(s.keyRoom[:0], kind.Name, x, f.Key.ID)
					if err := b.Set(s.keyRoom, nil, nil); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// missing returns the key of an index in a document's keys that its other keys do not have.
func missing(keys, others []store.IndexKey, name string) (store.IndexKey, bool) {
	for _, x := range keys {
		if x.Name == name {
			return x, !slices.Contains(others, x)
		}
	}
	return store.IndexKey{}, false
}

func (s *Store) writeDoc(b *pebble.Batch, kind *store.Kind, f *store.Final) error {
	for _, x := range f.Was.Index {
		if slices.Contains(kind.Indexes, x.Name) {
			continue
		}
		s.keyRoom = appendIndexKey(s.keyRoom[:0], kind.Name, x, f.Key.ID)
		if err := b.Delete(s.keyRoom, nil); err != nil { // of an index that is no longer declared
			return err
		}
	}
	s.keyRoom = appendKey(s.keyRoom[:0], docKey, f.Key.Kind, f.Key.ID)
	if f.Now.Rev == 0 {
		return b.Delete(s.keyRoom, nil)
	}
	s.docRoom = appendDoc(s.docRoom[:0], f)
	return b.Set(s.keyRoom, s.docRoom, nil) // copies
}

// addCount adds n to a counter; one that comes to nothing is removed.
func (s *Store) addCount(b *pebble.Batch, c store.Counter, n int64) error {
	k := keyOfCounter(c)
	old, err := s.value(k)
	if err != nil {
		return err
	}
	sum := int64(number(old)) + n
	if sum == 0 {
		err = b.Delete(k, nil)
	} else {
		err = b.Set(k, binary.BigEndian.AppendUint64(nil, uint64(sum)), nil)
	}
	if err != nil {
		return engineFault(err)
	}
	return nil
}
