package pebblestore

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/provisioning-platform/platform/shared/store"
)

func Test_sieve(t *testing.T) {
	t.Parallel()
	f := &sieve{seed: maphash.MakeSeed()}
	const ids = 100_000
	for i := range ids {
		f.add(fmt.Sprint("server/", i))
	}
	passed := 0
	for i := range ids {
		if !f.has(fmt.Sprint("server/", i)) {
			t.Fatalf("%d is not there", i)
		}
		if f.has(fmt.Sprint("other/", i)) {
			passed++
		}
	}
	if passed > ids/1000 {
		t.Errorf("%d of %d ids that are not there pass", passed, ids)
	}
}

// Ids in no order, so that every look for a new one falls below the floor: what was committed is there, what was
// deleted is not, also for whoever looks at the moment in which the sieve comes into being, and after a restart.
func TestGet_findsWhatIsThereThroughTheSieve(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dir := t.TempDir()
	schema := store.Schema{Service: "test", Kinds: []store.Kind{{Name: "other"}, {Name: "doc"}}}
	there := map[string]bool{}
	var mu sync.Mutex
	for round := range 2 { // in the first the store is new, and all is remembered
		s, err := Open(dir, schema, quiet)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for caller := range 4 {
			all.Go(func() {
				dice := rand.New(rand.NewPCG(seed, uint64(caller)))
				for range 400 {
					key := store.Key{Kind: "doc", ID: fmt.Sprintf("%d/%d", caller, dice.IntN(300))}
					w := store.Write{Key: key, Expect: store.Any(), Body: []byte(`{}`)}
					if dice.IntN(4) == 0 {
						w.Action, w.Body = store.Delete, nil
					}
					if _, err := s.Commit(t.Context(), store.Batch{Writes: []store.Write{w}}); err != nil {
						t.Error(err)
					}
					mu.Lock()
					there[key.ID] = w.Action == store.Put
					mu.Unlock()
					if d, err := s.Get(t.Context(), key); err != nil || (d.Rev != 0) != (w.Action == store.Put) {
						t.Errorf("%s: revision %d after action %v: %v", key.ID, d.Rev, w.Action, err)
					}
				}
			})
		}
		all.Wait()
		for caller := range 4 {
			for i := range 300 {
				id := fmt.Sprintf("%d/%d", caller, i)
				if d, err := s.Get(t.Context(), store.Key{Kind: "doc", ID: id}); err != nil || (d.Rev != 0) != there[id] {
					t.Errorf("%s: revision %d, there %v: %v", id, d.Rev, there[id], err)
				}
			}
		}
		if round == 1 && s.sieves[1].Load() == nil || s.sieves[0].Load() != nil {
			t.Error("the kind that is asked for has no sieve, or the other one has: the test shows nothing")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
