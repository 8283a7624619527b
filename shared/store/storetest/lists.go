package storetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

func listsInOrder(t *testing.T, db store.DB) look {
	// Ids whose order is bytewise, not that of any language; values that are prefixes of one
	// another.
	in := [][2]string{{"A", "run"}, {"B", "running"}, {"Z", "r"}, {"a", "run"}, {"a!", "run"}, {"aa", "run"}, {"b", "runs"}, {"é", ""},
		{"\uFFFD", "run"}, {"\U00010000", "zz"}}
	for _, row := range in {
		must(t, db, put("task", row[0], store.Absent(), `{}`, "state", row[1]))
	}
	must(t, db, put("tas", "a", store.Absent(), `{}`), put("task", "unlisted", store.Absent(), `{}`), put("user", "u", store.Absent(), `{}`, "name", "run"))
	byID := []string{"A", "B", "Z", "a", "a!", "aa", "b", "unlisted", "é", "\uFFFD", "\U00010000"}
	byState := []string{"é", "Z", "A", "a", "a!", "aa", "\uFFFD", "B", "b", "\U00010000"}
	run := []string{"A", "a", "a!", "aa", "\uFFFD"}
	return func(t *testing.T, db store.DB) {
		for _, c := range []struct {
			q    store.Query
			want []string
		}{
			{store.Query{}, byID},
			{store.Query{Prefix: "a"}, []string{"a", "a!", "aa"}},
			{store.Query{Prefix: "\U00010000"}, []string{"\U00010000"}},
			{store.Query{Prefix: "q"}, nil},
			{store.Query{After: store.Cursor{ID: "a"}}, byID[4:]},
			{store.Query{After: store.Cursor{ID: "a "}}, byID[4:]}, // a place need not exist
			{store.Query{Prefix: "a", After: store.Cursor{ID: "A"}}, []string{"a", "a!", "aa"}},
			{store.Query{Prefix: "a", After: store.Cursor{ID: "b"}}, nil},
			{store.Query{Index: "state"}, byState},
			{store.Query{Index: "owner"}, nil},
			{store.Query{Index: "state", Prefix: "run"}, byState[2:9]},
			{store.Query{Index: "state", Prefix: "run", Exact: true}, run},
			{store.Query{Index: "state", Exact: true}, []string{"é"}},
			{store.Query{Index: "state", Prefix: "ru", Exact: true}, nil},
			{store.Query{Index: "state", Prefix: "run", Exact: true, After: store.Cursor{Value: "run", ID: "a!"}}, run[3:]},
			{store.Query{Index: "state", After: store.Cursor{Value: "run", ID: "b"}}, byState[6:]},
			{store.Query{Index: "state", After: store.Cursor{Value: "runn"}}, byState[7:]},
			{store.Query{Index: "state", Prefix: "run", Skip: 5}, byState[7:9]},
		} {
			c.q.Kind, c.q.Limit = "task", 100
			if page := list(t, db, c.q, c.want...); page.More {
				t.Errorf("%+v: says there is more", c.q)
			}
			walk(t, db, c.q, c.want)
			if c.q.After != (store.Cursor{}) || c.q.Skip > 0 {
				continue
			}
			back := slices.Clone(c.want)
			slices.Reverse(back)
			c.q.Reverse = true
			list(t, db, c.q, back...)
			walk(t, db, c.q, back)
		}
		list(t, db, store.Query{Kind: "task", Reverse: true, After: store.Cursor{ID: "a!"}, Limit: 2}, "a", "Z")
		list(t, db, store.Query{Kind: "task", Index: "state", Reverse: true, Prefix: "run", Exact: true,
			After: store.Cursor{Value: "run", ID: "aa"}, Limit: 9}, "a!", "a", "A")
		list(t, db, store.Query{Kind: "task", Index: "state", Reverse: true, Prefix: "run", Exact: true, After: store.Cursor{Value: "s"},
			Limit: 1}, "\uFFFD")
	}
}

// walk reads the list of the query page by page, with cursors and with skips, in every small page
// size.
func walk(t *testing.T, db store.DB, q store.Query, want []string) {
	t.Helper()
	for _, size := range []int{1, 2, 3} {
		var got []string
		p := q
		p.Limit = size
		for {
			page, some := ids(t, db, p)
			got = append(got, some...)
			if !page.More {
				break
			}
			if len(some) != size || len(got) > len(want) {
				t.Fatalf("%+v: a page of %d and more to come", p, len(some))
			}
			p.After, p.Skip = page.Next, 0
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v in pages of %d: %q, want %q", q, size, got, want)
		}
	}
	for skip := range len(want) + 2 {
		p := q
		p.Skip, p.Limit = q.Skip+skip, 2
		at := min(skip, len(want))
		page := list(t, db, p, want[at:min(at+2, len(want))]...)
		if page.More != (at+2 < len(want)) {
			t.Errorf("%+v: More is %v", p, page.More)
		}
	}
}

// deepSkips leaves out more rows than a driver walks over at once.
func deepSkips(t *testing.T, db store.DB) look {
	const n = 2500
	fill(t, db, n)
	return func(t *testing.T, db store.DB) {
		for _, skip := range []int{999, 1000, 1001, 1999, 2000, 2001, n - 1, n, n + 1} {
			for _, q := range []store.Query{{}, {Index: "state", Prefix: "on", Exact: true}} {
				want, back := []string{}, []string{}
				for i := skip; i < min(skip+2, n); i++ {
					want, back = append(want, number(i)), append(back, number(n-1-i))
				}
				q.Kind, q.Skip, q.Limit = "task", skip, 2
				if page := list(t, db, q, want...); page.More != (skip+2 < n) {
					t.Errorf("%+v: More is %v", q, page.More)
				}
				q.Reverse = true
				list(t, db, q, back...)
			}
		}
	}
}

// fill puts n documents in state "on".
func fill(t *testing.T, db store.DB, n int) {
	t.Helper()
	var writes []store.Write
	for i := range n {
		writes = append(writes, put("task", number(i), store.Absent(), `{}`, "state", "on"))
	}
	must(t, db, writes...)
}

func number(n int) string { return fmt.Sprintf("%06d", n) }

// StopsWithItsCaller shows that a list of a driver does not walk on over thousands of rows when its
// caller has left.
func StopsWithItsCaller(t *testing.T, db store.DB) {
	t.Helper()
	fill(t, db, 4000)
	q := store.Query{Kind: "task", Skip: 3500, Limit: 1}
	if _, err := db.List(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if _, err := db.List(&leaving{Context: t.Context(), looks: 3}, q); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a list whose caller left: %v", err)
	}
}

// leaving is the context of a caller who is gone from the third look on.
type leaving struct {
	context.Context
	looks int
}

func (l *leaving) Err() error {
	if l.looks--; l.looks <= 0 {
		return context.Canceled
	}
	return nil
}

func indexesFollow(t *testing.T, db store.DB) look {
	a := must(t, db, put("task", "a", store.Absent(), `{}`, "state", "new", "owner", "me")).Rev
	must(t, db, put("task", "b", store.Absent(), `{}`, "state", "new"))
	b := must(t, db, put("task", "a", store.At(a), `{}`, "state", "old")).Rev
	must(t, db, put("task", "c", store.Absent(), `{}`, "owner", "me"), put("task", "a", store.At(b), `{}`, "owner", "you", "state", "old"))
	must(t, db, del("b", store.Any()))
	must(t, db, put("task", "b", store.Absent(), `{}`, "owner", "me"))
	return func(t *testing.T, db store.DB) {
		list(t, db, store.Query{Kind: "task", Index: "state", Limit: 9}, "a")
		list(t, db, store.Query{Kind: "task", Index: "owner", Limit: 9}, "b", "c", "a")
		list(t, db, store.Query{Kind: "task", Index: "owner", Prefix: "me", Exact: true, Limit: 9}, "b", "c")
	}
}

// oddTexts uses ids and values that a driver could take for its own separators, escapes or syntax.
func oddTexts(t *testing.T, db store.DB) look {
	odd := []string{"\x01", "\x01\x01", " ", "'", `"`, "%", "⟨1⟩", "`", "\\", "\\0", "a b", "a'); DELETE task; --", "1", "01", "null", "NONE", "$x", "/a/b", "\U0010FFFF", "\uD7FF", "\uE000",
		strings.Repeat("k", store.MaxKey)}
	for i, id := range odd {
		must(t, db, put("task", id, store.Absent(), fmt.Sprintf(`{"n":%d}`, i), "state", id[:min(len(id), store.MaxIndexKeySize-len("state"))]))
	}
	want := slices.Clone(odd)
	slices.Sort(want)
	return func(t *testing.T, db store.DB) {
		list(t, db, store.Query{Kind: "task", Limit: 100}, want...)
		list(t, db, store.Query{Kind: "task", Index: "state", Limit: 100}, want...)
		for i, id := range odd {
			d, err := db.Get(t.Context(), task(id))
			if err != nil || string(d.Body) != fmt.Sprintf(`{"n":%d}`, i) {
				t.Errorf("get %q: %s, %v", id, d.Body, err)
			}
			if len(id) <= 100 {
				list(t, db, store.Query{Kind: "task", Index: "state", Prefix: id, Exact: true, Limit: 2}, id)
			}
		}
		list(t, db, store.Query{Kind: "task", Prefix: "\uD7FF", Limit: 9}, "\uD7FF")
		list(t, db, store.Query{Kind: "task", Prefix: "\U0010FFFF", Limit: 9}, "\U0010FFFF")
	}
}

func counters(t *testing.T, db store.DB) look {
	total := func(t *testing.T, db store.DB, state string) int {
		t.Helper()
		q := store.Query{Kind: "task", Total: true, Limit: 1}
		if state != "*" {
			q.Index, q.Prefix, q.Exact = "state", state, true
		}
		page, _ := ids(t, db, q)
		return page.Total
	}
	for i := range 10 {
		must(t, db, put("task", fmt.Sprint(i), store.Absent(), `{}`, "state", "new", "owner", "o"))
	}
	must(t, db, put("task", "0", store.Any(), `{}`, "state", "run"), put("task", "1", store.Any(), `{"same":"state"}`, "state", "new"), put("task", "2", store.Any(), `{}`))
	must(t, db, del("3", store.Any()), del("nobody", store.Any()), put("task", "x", store.Any(), `{}`, "state", ""))
	refusedBatch := batch(del("4", store.Any()), check("5", store.At(math.MaxInt32)))
	if _, err := db.Commit(t.Context(), refusedBatch); err == nil {
		t.Error("want a conflict")
	}
	must(t, db, put("task", "2", store.Any(), `{}`, "state", "run"))
	must(t, db, del("0", store.Any()))
	return func(t *testing.T, db store.DB) {
		for state, want := range map[string]int{"*": 9, "new": 7, "run": 1, "": 1, "ne": 0, "gone": 0} {
			if got := total(t, db, state); got != want {
				t.Errorf("total of state %q: %d, want %d", state, got, want)
			}
		}
		page, _ := ids(t, db, store.Query{Kind: "task", Total: true, After: store.Cursor{ID: "5"}, Limit: 0})
		if page.Total != 9 || page.More || len(page.Docs) != 0 {
			t.Errorf("total alone: %+v", page)
		}
		page, _ = ids(t, db, store.Query{Kind: "user", Total: true})
		if page.Total != 0 {
			t.Errorf("total of an empty kind: %d", page.Total)
		}
	}
}
