package pebblestore

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/provisioning-platform/platform/shared/store"
)

// Size of a bloomFilter: with a million ids one in forty that are not there passes. A kind gets one when the engine was asked so
// often for documents that it does not have or that the committer does not know, if there are no more documents and bytes
// to fill it from: commits wait meanwhile. What is deleted stays in it.
const (
	sieveBits  = 1 << 23
	sieveProbe = 4
	sieveAsked = 64
	sieveDocs  = 50_000
	sieveBytes = 32 << 20
)

// bloomFilter knows ids of one kind: of one that it does not have there is no document (a Bloom filter). The engine has
// such filters too, one a table, and a look for what is not there asks each of them.
type bloomFilter struct {
	seed maphash.Seed
	bits [sieveBits / 64]atomic.Uint64
}

func (f *bloomFilter) add(id string) {
	h := maphash.String(f.seed, id)
	for i := range uint64(sieveProbe) {
		bit := (h + i*(h>>32|1)) % sieveBits
		f.bits[bit/64].Or(1 << (bit % 64))
	}
}

func (f *bloomFilter) has(id string) bool {
	h := maphash.String(f.seed, id)
	for i := range uint64(sieveProbe) {
		bit := (h + i*(h>>32|1)) % sieveBits
		if f.bits[bit/64].Load()&(1<<(bit%64)) == 0 {
			return false
		}
	}
	return true
}

// absent says whether there is certainly no document with that key, of those that are durable.
func (s *Store) absent(k store.Key) bool {
	f := s.sieves[s.place(k.Kind)].Load()
	return f != nil && !f.has(k.ID)
}

// ask counts a question to the engine that a bloomFilter might have answered.
func (s *Store) ask(kind string) { s.asked[s.place(kind)].Add(1) }

func (s *Store) place(kind string) int {
	for i := range s.schema.Kinds {
		if s.schema.Kinds[i].Name == kind {
			return i
		}
	}
	return 0 // never: the kind is checked
}

// remember takes in what a group has written durably, before readers see it; of the committer.
func (s *Store) remember(finals []store.Final) {
	s.recent.keep(finals)
	for i := range finals {
		if f := s.sieves[s.place(finals[i].Key.Kind)].Load(); f != nil && finals[i].Now.Rev != 0 {
			f.add(finals[i].Key.ID)
		}
	}
}

// fillFilters fills the sieves for which it is time; of the committer, between two groups. What cannot be read gets none: whoever
// asks for it hears why.
func (s *Store) fillFilters() {
	for place := range s.asked {
		if s.sifted[place] || s.asked[place].Load() < sieveAsked {
			continue
		}
		s.sifted[place] = true
		kind := s.schema.Kinds[place].Name
		count, err := s.value(keyOfCounter(store.Counter{Kind: kind}))
		if err != nil || number(count) > sieveDocs {
			continue
		}
		if f := s.buildFilter(key(docKey, kind, "")); f != nil {
			s.sieves[place].Store(f)
		}
	}
}

// buildFilter returns a bloomFilter with what follows the prefix in every key that has it; nil when there is too much of it, or it
// cannot be read.
func (s *Store) buildFilter(prefix []byte) *bloomFilter {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return nil
	}
	f, rows, size := &bloomFilter{seed: maphash.MakeSeed()}, 0, 0
	for ok := it.First(); ok && rows <= sieveDocs && size <= sieveBytes; ok = it.Next() {
		f.add(string(it.Key()[len(prefix):]))
		rows, size = rows+1, size+len(it.Key())+len(it.Value())
	}
	if it.Close() != nil || rows > sieveDocs || size > sieveBytes {
		return nil
	}
	return f
}
