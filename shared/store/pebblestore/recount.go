package pebblestore

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/provisioning-platform/platform/shared/store"
)

// recount builds all counters and sums anew when the program counts other indexes, or sums other
// kinds, than the one that opened the store before. It is one commit with the note of what is
// counted now.
func (s *Store) recount() error {
	before, err := s.value(countedKey)
	if err != nil || string(before) == counted(s.schema) {
		return err
	}
	counts, sums := map[store.CounterKey]int64{}, map[string]store.Sum{}
	for _, k := range s.schema.Kinds {
		err := s.scan(key(docKey, k.Name, ""), func(_ []byte, value func() ([]byte, error)) error {
			counts[store.CounterKey{Kind: k.Name}]++
			if !k.Summed {
				return nil
			}
			doc, err := value()
			if err != nil {
				return err
			}
			_, body, err := splitDoc(doc)
			sums[k.Name] = sums[k.Name].Plus(store.Digest(body))
			return err
		})
		if err != nil {
			return err
		}
		for _, name := range k.Counted {
			err := s.scan(key(indexKey, k.Name, name, ""), func(row []byte, _ func() ([]byte, error)) error {
				counts[store.CounterKey{Kind: k.Name, Index: name, Value: string(row[:bytes.IndexByte(row, 0)])}]++
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }()
	err = b.DeleteRange([]byte{counterKey}, []byte{counterKey + 1}, nil)
	err = firstError(err, b.DeleteRange([]byte{sumKey}, []byte{sumKey + 1}, nil))
	for kind, sum := range sums {
		err = firstError(err, b.Set(keyOfSum(kind), sum[:], nil))
	}
	for c, n := range counts {
		err = firstError(err, b.Set(keyOfCounter(c), binary.BigEndian.AppendUint64(nil, uint64(n)), nil))
	}
	err = firstError(err, b.Set(countedKey, []byte(counted(s.schema)), nil))
	if err = firstError(err, b.Commit(pebble.Sync)); err != nil {
		return engineFault(err)
	}
	return nil
}

// scan calls fn for every key that has the prefix, with what follows it and what reads its value.
func (s *Store) scan(prefix []byte, fn func(rest []byte, value func() ([]byte, error)) error) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return engineFault(err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = fn(it.Key()[len(prefix):], it.ValueAndErr)
	}
	if err = firstError(err, it.Close()); err != nil {
		return engineFault(err)
	}
	return nil
}
