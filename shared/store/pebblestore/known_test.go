package pebblestore

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/pebblestore/known"
)

// Ids in no order, so that every look for a new one falls below the floor: what was committed is
// there, what was removed is not, also for whoever looks at the moment in which the Bloom filter
// comes into being, and after a restart.
func TestGet_findsWhatIsThereThroughTheFilter(t *testing.T) {
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
		if round == 1 && s.known.Filtered("doc") != known.Tricks || s.known.Filtered("other") {
			t.Error("the kind that is asked for has no filter, or the other one has: the test shows nothing")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Values that are seen once, and values that come back after many others: totals are right, also
// after a restart.
func TestList_countsValuesThatComeAndGo(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	schema := store.Schema{Service: "test", Kinds: []store.Kind{{Name: "doc", Indexes: []string{"value"}, Counted: []string{"value"}}}}
	values, next := map[string]string{}, 0 // by id
	for range 3 {
		s, err := Open(dir, schema, quiet)
		if err != nil {
			t.Fatal(err)
		}
		for range 120 {
			writes := map[string]store.Write{}
			for range 1 + dice.IntN(200) {
				id := fmt.Sprint(dice.IntN(3000))
				w := store.Write{Key: store.Key{Kind: "doc", ID: id}, Expect: store.Any()}
				switch dice.IntN(4) {
				case 0:
					w.Action = store.Delete
					delete(values, id)
				case 1: // one of few
					values[id] = fmt.Sprint("few", dice.IntN(20))
				default:
					next++
					values[id] = fmt.Sprint("new", next-dice.IntN(min(next, 50)))
				}
				if w.Action != store.Delete {
					w.Body, w.Index = []byte(`{}`), []store.IndexKey{{Name: "value", Value: values[id]}}
				}
				writes[id] = w
			}
			if _, err := s.Commit(t.Context(), store.Batch{Writes: slices.Collect(maps.Values(writes))}); err != nil {
				t.Fatal(err)
			}
		}
		want := map[string]int{}
		for _, v := range values {
			want[v]++
		}
		for v := range next {
			want[fmt.Sprint("new", v)] += 0
		}
		for v, n := range want {
			page, err := s.List(t.Context(), store.Query{Kind: "doc", Index: "value", Prefix: v, Exact: true, Total: true})
			if err != nil || page.Total != n {
				t.Fatalf("%s is counted %d times, want %d, %v", v, page.Total, n, err)
			}
		}
		if next < 4096 {
			t.Fatalf("nothing was tested: %d values", next)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
