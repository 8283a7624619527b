package store_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

type item struct {
	Group string `json:"group"`
	ID    string `json:"id"`
}

var items = store.Table[item]{Kind: "item", ID: func(i item) string { return i.ID },
	Index: func(i item) []store.IndexKey { return []store.IndexKey{{Name: "group", Value: i.Group}} }}

// watched is a store that notes how many keys its lists had to walk over and how many documents
// they returned.
type watched struct {
	store.DB
	keys, docs int
}

func (w *watched) List(ctx context.Context, q store.Query) (store.Page, error) {
	page, err := w.DB.List(ctx, q)
	w.keys, w.docs = w.keys+q.Skip, w.docs+len(page.Docs)
	return page, err
}

// shelf is a store of n items in the groups a, b and c, in turn; the newest has the highest id.
func shelf(t *testing.T, n int) *watched {
	t.Helper()
	w := &watched{DB: memstore.New(store.Schema{Service: "t",
		Kinds: []store.Kind{{Name: "item", Indexes: []string{"group"}, Counted: []string{"group"}}}})}
	w.add(t, 0, n)
	return w
}

func (w *watched) add(t *testing.T, from, to int) {
	t.Helper()
	for from < to {
		var b store.Batch
		for ; from < to && len(b.Writes) < store.MaxWrites; from++ {
			w := store.Write{Key: items.Key(itemID(from)), Expect: store.Absent(), Body: []byte(`{"group":"` + group(from) + `","id":"` + itemID(from) + `"}`)}
			if to < 10_000 { // the index of a store in memory is slow to fill
				w.Index = []store.IndexKey{{Name: "group", Value: group(from)}}
			}
			b.Writes = append(b.Writes, w)
		}
		if _, err := w.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func itemID(n int) string     { return fmt.Sprintf("i%07d", n) }
func group(n int) string      { return string(rune('a' + n%3)) }
func of(g string) store.Query { return store.Query{Index: "group", Prefix: g, Exact: true} }

func window(t *testing.T, w *watched, p store.Place, ranges ...store.Query) (store.Window[item], []string) {
	t.Helper()
	got, err := items.Window(t.Context(), w, p, ranges...)
	if err != nil {
		t.Fatalf("%+v: %v", p, err)
	}
	ids := []string{}
	for _, r := range got.Rows {
		ids = append(ids, r.Value.ID)
	}
	return got, ids
}

func TestWindow_everyOffsetShowsWhatAFullScanShows(t *testing.T) {
	t.Parallel()
	w := shelf(t, 50)
	for _, c := range [][]store.Query{{{}}, {of("a")}, {of("a"), of("c")}, {of("nobody")}, {}} {
		var want []string
		for n := 49; n >= 0; n-- {
			if slices.ContainsFunc(c, func(q store.Query) bool { return q.Index == "" || q.Prefix == group(n) }) {
				want = append(want, itemID(n))
			}
		}
		for _, limit := range []int{1, 3, 7, 60} {
			for offset := range len(want) + 2 {
				page := want[min(offset, len(want)):min(offset+limit, len(want))]
				got, ids := window(t, w, store.Place{Offset: offset, Limit: limit}, c...)
				if !slices.Equal(ids, page) || got.Total != len(want) || (got.Next != "") != (offset+limit < len(want)) {
					t.Errorf("%v offset %d limit %d: %v of %d, next %q; want %v of %d", c, offset, limit, ids, got.Total, got.Next, page,
						len(want))
				}
			}
			for at, first := range want {
				if _, ids := window(t, w, store.Place{Before: first, Offset: 2, Limit: limit}, c...); !slices.Equal(ids,
					want[min(at+2, len(want)):min(at+2+limit, len(want))]) {
					t.Errorf("%v from %s on, offset 2: %v", c, first, ids)
				}
			}
		}
	}
}

func TestWindow_aWalkMeetsEveryRowOnceWhileRowsAreAdded(t *testing.T) {
	t.Parallel()
	for _, begin := range []store.Place{{}, {Offset: 7}, {Before: itemID(40)}} {
		for _, c := range [][]store.Query{{{}}, {of("a")}, {of("a"), of("b")}} {
			w := shelf(t, 60)
			var got []string
			p, next := begin, 60
			p.Limit = 4
			for {
				page, ids := window(t, w, p, c...)
				got = append(got, ids...)
				if p.After = page.Next; p.After == "" {
					break
				}
				w.add(t, next, next+5)
				next += 5
			}
			if !slices.IsSortedFunc(got, func(a, b string) int { return -cmp.Compare(a, b) }) ||
				len(slices.Compact(slices.Clone(got))) != len(got) || got[len(got)-1] != itemID(0) {
				t.Errorf("%+v of %v: %v", begin, c, got)
			}
		}
	}
}

func TestWindow_theLastPageOfAWalkCostsWhatTheFirstCosts(t *testing.T) {
	t.Parallel()
	w := shelf(t, 9000)
	for _, c := range [][]store.Query{{{}}, {of("a")}, {of("a"), of("b")}} {
		for _, after := range []string{itemID(9000), itemID(4500), itemID(100)} {
			w.keys, w.docs = 0, 0
			if _, ids := window(t, w, store.Place{After: after, Offset: 4500, Limit: 20}, c...); len(ids) != 20 || w.keys > 0 ||
				w.docs > 20*len(c) {
				t.Errorf("after %s: %d rows, %d keys walked over, %d documents read", after, len(ids), w.keys, w.docs)
			}
		}
	}
}

func TestWindow_anOffsetWalksFromTheNearerEndAndSaysWhenThatIsTooFar(t *testing.T) {
	t.Parallel()
	w := shelf(t, 250_000)
	for offset, want := range map[int]string{99_999: itemID(150_000), 100_000: itemID(149_999), 149_990: itemID(100_009),
		249_999: itemID(0)} {
		w.keys = 0
		if _, ids := window(t, w, store.Place{Offset: offset, Limit: 10}, store.Query{}); len(ids) == 0 || ids[0] != want ||
			w.keys > store.MaxSkip {
			t.Errorf("offset %d: %v, %d keys walked over", offset, ids, w.keys)
		}
	}
	for _, p := range []store.Place{{Offset: 100_001, Limit: 10}, {Offset: 149_989, Limit: 10},
		{Offset: 100_001, Before: itemID(240_000), Limit: 10}} {
		w.keys, w.docs = 0, 0
		_, err := items.Window(t.Context(), w, p, store.Query{})
		if fault.CodeOf(err) != "paging.too_deep" || !fault.Is(err, fault.Invalid) || w.keys+w.docs > 0 {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if got, ids := window(t, w, store.Place{Offset: 1e12, Limit: 10}, store.Query{}); len(ids) != 0 || got.Total != 250_000 {
		t.Errorf("past the end: %v of %d", ids, got.Total)
	}
}

func TestWindow_cursorsThatNoRowHas(t *testing.T) {
	t.Parallel()
	w := shelf(t, 5)
	for _, bad := range []string{"\x00", "\xff", string(make([]byte, 600))} {
		for _, p := range []store.Place{{After: bad, Limit: 1}, {Before: bad, Limit: 1}} {
			if _, err := items.Window(t.Context(), w, p, store.Query{}); !fault.Is(err, fault.Malformed) {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
	for after, want := range map[string]string{"i0000002~": itemID(2), "zzz": itemID(4), "!": ""} {
		if _, ids := window(t, w, store.Place{After: after, Limit: 1},
			store.Query{}); fmt.Sprint(ids) != fmt.Sprint(append([]string{}, nonEmpty(want)...)) {
			t.Errorf("after %q: %v, want %s", after, ids, want)
		}
	}
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
