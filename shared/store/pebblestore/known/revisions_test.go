//go:build !plainstore

package known

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/provisioning-platform/platform/shared/store"
)

// What is remembered is always what was written last, and a document said to be absent is absent,
// whatever is forgotten meanwhile and in whatever order ids come.
func TestRevisions_neverContradictTheEngine(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	engine := map[store.Key]store.Known{}
	r := newRevisions(8)
	none := func(string) (string, error) { return "", nil }
	asked, knew := 0, 0
	for n := range 20_000 {
		k := store.Key{Kind: string("ab"[dice.IntN(2)]), ID: fmt.Sprintf("%06d", n/4-dice.IntN(30))}
		known, ok, _ := r.get(k, none)
		if asked++; ok {
			knew++
			if known.Rev != engine[k].Rev {
				t.Fatalf("step %d: %v is said to be at %d, it is at %d", n, k, known.Rev, engine[k].Rev)
			}
		}
		now := store.Known{Rev: uint64(n + 1)}
		if dice.IntN(5) == 0 { // deleted
			now = store.Known{}
		}
		r.keep([]store.Final{{Key: k, Now: now}})
		engine[k] = now
	}
	if knew < asked/4 || knew == asked {
		t.Fatalf("%d of %d lookups were answered from memory: the test shows nothing", knew, asked)
	}
}
