package pebblestore

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/provisioning-platform/platform/shared/store"
)

// counter returns the stored value of a counter, 0 when it has none.
func (s *Store) counter(c store.CounterKey) (int64, error) {
	v, err := s.value(keyOfCounter(c))
	return int64(number(v)), err
}

// addCount adds n to a counter in b; a counter that comes to 0 is removed.
func (s *Store) addCount(b *pebble.Batch, c store.CounterKey, n int64) error {
	sum, err := s.counter(c)
	if err != nil {
		return err
	}
	sum += n
	s.keyRoom = appendKey(s.keyRoom[:0], counterKey, c.Kind, c.Index, c.Value)
	if sum == 0 {
		err = b.Delete(s.keyRoom, nil)
	} else {
		var value [8]byte
		binary.BigEndian.PutUint64(value[:], uint64(sum))
		err = b.Set(s.keyRoom, value[:], nil)
	}
	if err != nil {
		return engineFault(err)
	}
	return nil
}

// addSum adds more to the sum of a kind in b.
func (s *Store) addSum(b *pebble.Batch, kind string, more store.Sum) error {
	v, err := s.value(keyOfSum(kind))
	if err != nil {
		return err
	}
	sum := sumOf(v).Plus(more)
	if err := b.Set(keyOfSum(kind), sum[:], nil); err != nil {
		return engineFault(err)
	}
	return nil
}
