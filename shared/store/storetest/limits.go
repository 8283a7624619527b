package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

func limits(t *testing.T, db store.DB) look {
	index := func(pairs ...string) store.Write { return put("task", "a", store.Any(), `{}`, pairs...) }
	body := func(b string) store.Batch { return batch(put("task", "a", store.Any(), b)) }
	id := func(id string) store.Batch { return batch(put("task", id, store.Any(), `{}`)) }
	entry := func(stream, b string) store.Batch {
		return store.Batch{Appends: []store.Append{{Stream: stream, Body: []byte(b)}}}
	}
	many := func(n int) (b store.Batch) {
		for i := range n {
			b.Writes = append(b.Writes, put("task", fmt.Sprint(i), store.Any(), `{}`))
		}
		return b
	}
	big := store.Batch{}
	for i := range 17 {
		big.Writes = append(big.Writes, put("task", fmt.Sprint(i), store.Any(), `"`+strings.Repeat("x", store.MaxBody-2)+`"`))
	}
	withBody := del("a", store.Any())
	withBody.Body = []byte(`{}`)
	for name, b := range map[string]store.Batch{
		"nothing":            {},
		"unknown kind":       batch(put("ghost", "a", store.Any(), `{}`)),
		"empty id":           id(""),
		"long id":            id(strings.Repeat("x", store.MaxKey+1)),
		"id with NUL":        id("a\x00b"),
		"id not UTF-8":       id("a\xff"),
		"twice":              batch(put("task", "a", store.Any(), `{}`), check("a", store.Any())),
		"twice among many":   {Writes: append(many(40).Writes, put("task", "7", store.Any(), `{}`))},
		"unknown action":     batch(store.Write{Key: task("a"), Action: 9}),
		"delete with body":   batch(withBody),
		"long body":          body(`"` + strings.Repeat("x", store.MaxBody) + `"`),
		"no body":            body(``),
		"not JSON":           body(`{`),
		"blanks":             body(`{"a": 1}`),
		"members unsorted":   body(`{"b":1,"a":2}`),
		"member twice":       body(`{"a":1,"a":1}`),
		"above int64":        body(`9223372036854775808`),
		"needless fraction":  body(`1.0`),
		"body not UTF-8":     body("\"\xff\""),
		"unknown index":      batch(index("ghost", "x")),
		"index twice":        batch(index("state", "x", "state", "y")),
		"long index key":     batch(index("state", strings.Repeat("x", store.MaxIndexKeySize))),
		"index key with NUL": batch(index("state", "a\x00")),
		"empty stream":       entry("", "x"),
		"long stream":        entry(strings.Repeat("x", store.MaxKey+1), "x"),
		"long entry":         entry("events", strings.Repeat("x", store.MaxEntry+1)),
		"entry not UTF-8":    entry("events", "\xff"),
		"too many writes":    many(store.MaxWrites + 1),
		"too many entries":   {Appends: make([]store.Append, store.MaxAppends+1)},
		"too many bytes":     big,
	} {
		if _, err := db.Commit(t.Context(), b); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	return func(t *testing.T, db store.DB) {
		for name, q := range map[string]store.Query{
			"unknown kind":            {Kind: "ghost"},
			"unknown index":           {Kind: "task", Index: "ghost"},
			"index of another":        {Kind: "task", Index: "name"},
			"long page":               {Kind: "task", Limit: store.MaxPage + 1},
			"negative page":           {Kind: "task", Limit: -1},
			"negative skip":           {Kind: "task", Skip: -1},
			"exact id":                {Kind: "task", Prefix: "a", Exact: true},
			"value without index":     {Kind: "task", After: store.Cursor{Value: "x"}},
			"prefix not UTF-8":        {Kind: "task", Prefix: "\xff"},
			"total of a prefix":       {Kind: "task", Prefix: "a", Total: true},
			"total of an index":       {Kind: "task", Index: "state", Total: true},
			"total, index uncounted":  {Kind: "task", Index: "owner", Exact: true, Total: true},
			"total of a value prefix": {Kind: "task", Index: "state", Prefix: "r", Total: true},
		} {
			if _, err := db.List(t.Context(), q); !fault.Is(err, fault.Invalid) {
				t.Errorf("list %s: %v, want invalid", name, err)
			}
		}
		for _, k := range []store.Key{{Kind: "ghost", ID: "a"}, {Kind: "task"}, {Kind: "task", ID: "\x00"}} {
			if _, err := db.Get(t.Context(), k); !fault.Is(err, fault.Invalid) {
				t.Errorf("get %q: %v, want invalid", k, err)
			}
		}
		for stream, limit := range map[string]int{"": 1, "a": -1, "b": store.MaxPage + 1, "\xff": 1} {
			if _, err := db.Read(t.Context(), stream, 0, limit); !fault.Is(err, fault.Invalid) {
				t.Errorf("read %q limit %d: %v, want invalid", stream, limit, err)
			}
		}
		list(t, db, store.Query{Kind: "task", Limit: 10})
		read(t, db, "events")
	}
}

// largestCommit is what is just allowed.
func largestCommit(t *testing.T, db store.DB) look {
	var b store.Batch
	for i := range store.MaxWrites {
		b.Writes = append(b.Writes, put("task", fmt.Sprintf("%04d", i), store.Absent(), `{"n":1}`, "state", "s"))
	}
	for i := range store.MaxAppends {
		b.Appends = append(b.Appends, events(fmt.Sprint(i+1))...)
	}
	b.Writes[0].Body = []byte(`"` + strings.Repeat("x", store.MaxBody-2) + `"`)
	b.Appends[0].Body = []byte(strings.Repeat("y", store.MaxEntry))
	r, err := db.Commit(t.Context(), b)
	if err != nil || len(r.Seqs) != store.MaxAppends {
		t.Fatalf("the largest commit: %d entries, %v", len(r.Seqs), err)
	}
	return func(t *testing.T, db store.DB) {
		page, _ := ids(t, db, store.Query{Kind: "task", Index: "state", Prefix: "s", Exact: true, Total: true, Limit: store.MaxPage})
		if page.Total != store.MaxWrites || len(page.Docs) != store.MaxPage || !page.More {
			t.Errorf("total %d, %d on a page", page.Total, len(page.Docs))
		}
		d, err := db.Get(t.Context(), task("0000"))
		if err != nil || len(d.Body) != store.MaxBody || d.Rev != r.Rev {
			t.Errorf("the largest body: %d bytes, %v", len(d.Body), err)
		}
		e, err := db.Read(t.Context(), "events", 0, 1)
		if err != nil || e.Head != store.MaxAppends || len(e.Entries[0].Body) != store.MaxEntry {
			t.Errorf("the largest entry: head %d, %v", e.Head, err)
		}
		e, err = db.Read(t.Context(), "events", store.MaxAppends-1, 10)
		if err != nil || len(e.Entries) != 1 || string(e.Entries[0].Body) != fmt.Sprint(store.MaxAppends) {
			t.Errorf("the last entry: %v, %v", e, err)
		}
	}
}
