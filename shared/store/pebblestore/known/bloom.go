package known

import (
	"hash/maphash"
	"sync/atomic"
)

// Size of a Bloom filter: with a million names one in forty that are not there passes.
const (
	bloomBits   = 1 << 23
	bloomProbes = 4
)

// Bounds of what a Bloom filter is filled from: commits wait meanwhile.
const (
	bloomNames = 50_000
	bloomBytes = 32 << 20
)

// bloomAsked is the number of questions to the engine after which a Bloom filter is tried.
const bloomAsked = 64

// bloom is a Bloom filter of names: one that it does not have does not exist. What is deleted stays
// in it. The engine has such filters too, one a table, and a look for what is not there asks each
// of them.
type bloom struct {
	seed maphash.Seed
	bits [bloomBits / 64]atomic.Uint64
}

// bloomOf returns a Bloom filter of the names that each calls its function with; nil when there are
// more than bloomNames or bloomBytes of them, or when they cannot be read: whoever asks the engine
// then hears why.
func bloomOf(each func(fn func(name string, size int) bool) error) *bloom {
	f, rows, bytes := &bloom{seed: maphash.MakeSeed()}, 0, 0
	err := each(func(name string, size int) bool {
		f.add(name)
		rows, bytes = rows+1, bytes+size
		return rows <= bloomNames && bytes <= bloomBytes
	})
	if err != nil || rows > bloomNames || bytes > bloomBytes {
		return nil
	}
	return f
}

func (f *bloom) add(name string) {
	h := maphash.String(f.seed, name)
	for i := range uint64(bloomProbes) {
		bit := (h + i*(h>>32|1)) % bloomBits
		f.bits[bit/64].Or(1 << (bit % 64))
	}
}

func (f *bloom) has(name string) bool {
	h := maphash.String(f.seed, name)
	for i := range uint64(bloomProbes) {
		bit := (h + i*(h>>32|1)) % bloomBits
		if f.bits[bit/64].Load()&(1<<(bit%64)) == 0 {
			return false
		}
	}
	return true
}
