package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// scan reads a whole kind and returns what its counter must stand at, the number of rows with one
// state, and the largest revision.
func scan(t *testing.T, db store.DB, kind, state string) (all store.Count, some int, last uint64) {
	t.Helper()
	for q := (store.Query{Kind: kind, Limit: store.MaxPage}); ; {
		page, err := db.List(t.Context(), q)
		if err != nil {
			t.Fatalf("list %s: %v", kind, err)
		}
		for _, d := range page.Docs {
			all.N++
			all.Sum = all.Sum.Plus(store.Digest(d.Body))
			if slices.Contains(d.Index, store.IndexKey{Name: "state", Value: state}) {
				some++
			}
			last = max(last, d.Rev)
		}
		if !page.More {
			return all, some, last
		}
		q.After = page.Next
	}
}

// sums puts, rewrites, deletes and refuses documents of summed kinds, several times in one commit
// group, and compares counters and sums with a full scan.
func sums(t *testing.T, db store.DB) look {
	empty, err := db.List(t.Context(), store.Query{Kind: "tas",
		Counts: []store.CounterKey{{Kind: "task"}, {Kind: "task", Index: "state", Value: "new"}}})
	if err != nil || empty.Rev != 0 || !slices.Equal(empty.Counts, []store.Count{{}, {}}) {
		t.Errorf("an empty store counts %+v, %v", empty, err)
	}
	if page, err := db.List(t.Context(), store.Query{Kind: "tas",
		Counts: []store.CounterKey{{Kind: "task", Index: "owner", Value: "o"}}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a counter of an index that is not counted: %+v, %v", page, err)
	}
	rev := must(t, db, put("task", "a", store.Absent(), `{"n":1}`, "state", "new"), put("task", "b", store.Any(), `{"n":2}`, "state", "new"), put("user", "a", store.Any(), `{"n":1}`)).Rev
	must(t, db, put("task", "a", store.At(rev), `{"n":3}`, "state", "old"), put("tas", "a", store.Any(), `{"n":4}`))
	must(t, db, put("task", "b", store.Any(), `{"n":2}`, "state", "new")) // the same again
	refused(t, db, fault.Conflict, batch(put("task", "a", store.At(rev), `{"n":9}`)))
	must(t, db, put("task", "c", store.Any(), `{"n":5}`), del("nobody", store.Any()))
	must(t, db, del("c", store.Any()), check("a", store.Any()))
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 8 {
				id := fmt.Sprint("x", (w+i)%5)
				if (w+i)%7 == 0 {
					_, _ = db.Commit(t.Context(), batch(del(id, store.Any())))
					continue
				}
				_, _ = db.Commit(t.Context(), batch(put("task", id, store.Any(), fmt.Sprintf(`{"i":%d,"w":%d}`, i, w), "state", "new")))
			}
		})
	}
	wg.Wait()
	last := must(t, db, put("user", "b", store.Absent(), `"last"`)).Rev
	return func(t *testing.T, db store.DB) {
		counts := []store.CounterKey{{Kind: "user"}, {Kind: "task"}, {Kind: "task", Index: "state", Value: "new"}, {Kind: "tas"},
			{Kind: "task", Index: "state", Value: "gone"}}
		got, err := db.List(t.Context(), store.Query{Kind: "user", Limit: 1, Total: true, Counts: counts})
		if err != nil {
			t.Fatal(err)
		}
		users, _, _ := scan(t, db, "user", "")
		tasks, fresh, _ := scan(t, db, "task", "new")
		want := []store.Count{users, tasks, {N: fresh}, {N: 1}, {}}
		if !slices.Equal(got.Counts, want) || got.Total != users.N || len(got.Docs) != 1 || got.Rev < last {
			t.Errorf("counted %+v at %d, a full scan says %+v, the last commit was %d", got.Counts, got.Rev, want, last)
		}
		if users.Sum == (store.Sum{}) || tasks.Sum == (store.Sum{}) {
			t.Error("nothing was summed: the test shows nothing")
		}
	}
}

// oneMoment reads rows, counts, sums and the revision of a page while others write: they must fit
// each other.
func oneMoment(t *testing.T, db store.DB) look {
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprint("m", w, "-", i%9)
				write := put("task", id, store.Any(), fmt.Sprintf(`{"i":%d}`, i), "state", fmt.Sprint(i%2))
				if i%5 == 4 {
					write = del(id, store.Any())
				}
				_, _ = db.Commit(ctx, batch(write))
			}
		})
	}
	seen := map[uint64]bool{}
	for len(seen) < 20 && !t.Failed() {
		q := store.Query{Kind: "task", Limit: 100, Total: true,
			Counts: []store.CounterKey{{Kind: "task"}, {Kind: "task", Index: "state", Value: "1"}}}
		page, err := db.List(t.Context(), q)
		if err != nil {
			t.Errorf("list: %v", err)
			break
		}
		var all store.Count
		odd := 0
		for _, d := range page.Docs {
			all.N, all.Sum = all.N+1, all.Sum.Plus(store.Digest(d.Body))
			if slices.Contains(d.Index, store.IndexKey{Name: "state", Value: "1"}) {
				odd++
			}
			if d.Rev > page.Rev {
				t.Errorf("a document of commit %d in a page of commit %d", d.Rev, page.Rev)
			}
		}
		if page.Total != all.N || page.Counts[0] != all || page.Counts[1].N != odd {
			t.Errorf("at commit %d: total %d, counts %+v; its rows say %+v and %d", page.Rev, page.Total, page.Counts, all, odd)
			break
		}
		seen[page.Rev] = true
	}
	stop()
	writers.Wait()
	return func(*testing.T, store.DB) {}
}
