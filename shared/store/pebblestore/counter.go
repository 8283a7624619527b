package pebblestore

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/provisioning-platform/platform/shared/store"
)

// maxCounts is how many counters are remembered.
const maxCounts = 4096

// addCount adds n to a counter; one that comes to nothing is removed.
func (s *Store) addCount(b *pebble.Batch, c store.Counter, n int64) error {
	s.keyRoom = appendKey(s.keyRoom[:0], counterKey, c.Kind, c.Index, c.Value)
	sum, known := s.counts[c]
	if !known {
		old, err := s.stored(s.keyRoom)
		if err != nil {
			return err
		}
		if sum = int64(number(old)); len(s.counts) >= maxCounts {
			clear(s.counts)
		}
	}
	sum += n
	s.counts[c] = sum
	var err error
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

// addSum adds to the sum of a kind.
func (s *Store) addSum(b *pebble.Batch, kind string, more store.Sum) error {
	sum, known := s.sums[kind]
	if !known {
		old, err := s.value(keyOfSum(kind))
		if err != nil {
			return err
		}
		sum = sumOf(old)
	}
	sum = sum.Plus(more)
	s.sums[kind] = sum
	if err := b.Set(keyOfSum(kind), sum[:], nil); err != nil {
		return engineFault(err)
	}
	return nil
}

// stored returns the stored value of a counter; nil when there is none, which a bloomFilter mostly knows: a value of an index that
// is seen for the first time.
func (s *Store) stored(counter []byte) ([]byte, error) {
	if s.counted == nil {
		if s.countsAsked++; s.countsAsked == sieveAsked {
			if s.counted = s.buildFilter([]byte{counterKey}); s.counted != nil {
				for c := range s.counts { // some of this very group, which the engine does not have yet
					s.counted.add(string(keyOfCounter(c)[1:]))
				}
			}
		}
	}
	if name := string(counter[1:]); s.counted != nil {
		if !s.counted.has(name) {
			s.counted.add(name) // it is about to be written
			return nil, nil
		}
	}
	return s.value(counter)
}
