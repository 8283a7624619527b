package pebblestore

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/provisioning-platform/platform/shared/store"
)

// recount builds all counters anew when the program counts other indexes than the one that opened
// the store before. It is one commit with the note of what is counted now.
func (s *Store) recount() error {
	before, err := s.value(countedKey)
	if err != nil || string(before) == counted(s.schema) {
		return err
	}
	counts := map[store.Counter]int64{}
	for _, k := range s.schema.Kinds {
		if err := s.scan(key(docKey, k.Name, ""), func([]byte) { counts[store.Counter{Kind: k.Name}]++ }); err != nil {
			return err
		}
		for _, name := range k.Counted {
			err := s.scan(key(indexKey, k.Name, name, ""), func(row []byte) {
				counts[store.Counter{Kind: k.Name, Index: name, Value: string(row[:bytes.IndexByte(row, 0)])}]++
			})
			if err != nil {
				return err
			}
		}
	}
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }()
	err = b.DeleteRange([]byte{counterKey}, []byte{counterKey + 1}, nil)
	for c, n := range counts {
		err = firstError(err, b.Set(keyOfCounter(c), binary.BigEndian.AppendUint64(nil, uint64(n)), nil))
	}
	err = firstError(err, b.Set(countedKey, []byte(counted(s.schema)), nil))
	if err = firstError(err, b.Commit(pebble.Sync)); err != nil {
		return engineFault(err)
	}
	return nil
}

// scan calls fn with what follows the prefix in every key that has it.
func (s *Store) scan(prefix []byte, fn func(rest []byte)) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return engineFault(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		fn(it.Key()[len(prefix):])
	}
	if err := it.Close(); err != nil {
		return engineFault(err)
	}
	return nil
}
