package pebblestore

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/provisioning-platform/platform/shared/store"
)

// Size of a sieve: with a million ids one in forty that are not there passes. A kind gets one when the committer has
// asked the engine for its documents so often, if there are no more than so many to fill it with.
const (
	sieveBits  = 1 << 23
	sieveProbe = 4
	sieveAsked = 64
	sieveDocs  = 50_000
)

// sieve knows ids of one kind: of one that it does not have there is no document (a Bloom filter). The engine has
// such filters too, one a table, and a look for what is not there asks each of them.
type sieve struct {
	seed maphash.Seed
	bits [sieveBits / 64]atomic.Uint64
}

func (f *sieve) add(id string) {
	h := maphash.String(f.seed, id)
	for i := range uint64(sieveProbe) {
		bit := (h + i*(h>>32|1)) % sieveBits
		f.bits[bit/64].Or(1 << (bit % 64))
	}
}

func (f *sieve) has(id string) bool {
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
	place := s.place(k.Kind)
	f := s.sieves[place].Load()
	return f != nil && !f.has(k.ID)
}

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

// sift counts a question to the engine and fills the sieve of a kind when it is time; of the committer.
func (s *Store) sift(kind string) error {
	place := s.place(kind)
	if s.asked[place]++; s.asked[place] != sieveAsked {
		return nil
	}
	count, err := s.value(keyOfCounter(store.Counter{Kind: kind}))
	if err != nil || number(count) > sieveDocs {
		return err
	}
	span := key(docKey, kind, "")
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: span, UpperBound: after(span)})
	if err != nil {
		return engineFault(err)
	}
	f := &sieve{seed: maphash.MakeSeed()}
	for ok := it.First(); ok; ok = it.Next() {
		f.add(string(it.Key()[len(span):]))
	}
	if err := it.Close(); err != nil {
		return engineFault(err)
	}
	s.sieves[place].Store(f)
	return nil
}
