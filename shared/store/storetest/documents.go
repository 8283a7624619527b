package storetest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

func putGetDelete(t *testing.T, db store.DB) look {
	a := must(t, db, put("task", "a", store.Absent(), `{"n":1}`, "state", "new")).Rev
	b := must(t, db, put("task", "b", store.Any(), `{"n":2}`), put("tas", "a", store.Absent(), `{"n":3}`)).Rev
	c := must(t, db, put("task", "a", store.At(a), `{"n":4}`, "owner", "o"), del("b", store.At(b)), put("task", "c", store.Absent(), `[]`)).Rev
	must(t, db, del("nobody", store.Any()))
	if a == 0 || b <= a || c <= b {
		t.Errorf("commit numbers %d, %d, %d do not ascend", a, b, c)
	}
	return func(t *testing.T, db store.DB) {
		is(t, db, task("a"), c, `{"n":4}`)
		is(t, db, task("b"), 0, "")
		is(t, db, task("c"), c, `[]`)
		is(t, db, task("nobody"), 0, "")
		is(t, db, store.Key{Kind: "tas", ID: "a"}, b, `{"n":3}`)
		d, err := db.Get(t.Context(), task("a"))
		if err != nil || len(d.Index) != 1 || d.Index[0] != (store.IndexKey{Name: "owner", Value: "o"}) {
			t.Errorf("index keys %v, %v", d.Index, err)
		}
	}
}

func expectations(t *testing.T, db store.DB) look {
	r := must(t, db, put("task", "a", store.Absent(), `{"n":1}`)).Rev
	for name, w := range map[string]store.Write{
		"absent, and it is there":      put("task", "a", store.Absent(), `{}`),
		"another revision":             put("task", "a", store.At(r+1), `{}`),
		"a revision, and it is absent": put("task", "b", store.At(r), `{}`),
		"delete at another revision":   del("a", store.At(r+1)),
		"delete an absent one":         del("b", store.At(r)),
		"delete what must be absent":   del("a", store.Absent()),
		"check another revision":       check("a", store.At(r+1)),
		"check absent":                 check("a", store.Absent()),
	} {
		if _, err := db.Commit(t.Context(), batch(w)); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v, want a conflict", name, err)
		}
	}
	must(t, db, del("b", store.Absent()), check("a", store.Any()))
	return func(t *testing.T, db store.DB) {
		is(t, db, task("a"), r, `{"n":1}`)
		is(t, db, task("b"), 0, "")
	}
}

func deletedRevisionsStayDead(t *testing.T, db store.DB) look {
	first := must(t, db, put("task", "a", store.Absent(), `{"n":1}`)).Rev
	must(t, db, del("a", store.At(first)))
	second := must(t, db, put("task", "a", store.Absent(), `{"n":1}`)).Rev
	if second <= first {
		t.Errorf("recreated with revision %d, was %d", second, first)
	}
	refused(t, db, fault.Conflict, batch(put("task", "a", store.At(first), `{"n":9}`)))
	return func(t *testing.T, db store.DB) { is(t, db, task("a"), second, `{"n":1}`) }
}

func allOrNothing(t *testing.T, db store.DB) look {
	r := must(t, db, put("task", "a", store.Absent(), `{"n":1}`, "state", "x")).Rev
	refused(t, db, fault.Conflict, store.Batch{
		Writes: []store.Write{
			put("task", "b", store.Absent(), `{}`, "state", "x"),
			del("a", store.Any()),
			put("task", "c", store.At(r+7), `{}`),
		},
		Appends: events(`never`),
	})
	ok, err := db.Commit(t.Context(), store.Batch{Writes: []store.Write{put("task", "d", store.Absent(), `{}`)}, Appends: events(`first`)})
	if err != nil || len(ok.Seqs) != 1 || ok.Seqs[0] != 1 {
		t.Errorf("receipt %v, %v: a refused commit has used a sequence", ok, err)
	}
	return func(t *testing.T, db store.DB) {
		is(t, db, task("a"), r, `{"n":1}`)
		is(t, db, task("b"), 0, "")
		read(t, db, "events", `first`)
		list(t, db, store.Query{Kind: "task", Index: "state", Limit: 10}, "a")
		if page, _ := ids(t, db, store.Query{Kind: "task", Total: true}); page.Total != 2 {
			t.Errorf("total %d, want 2", page.Total)
		}
	}
}

func checkOnly(t *testing.T, db store.DB) look {
	r := must(t, db, put("task", "a", store.Absent(), `{}`)).Rev
	must(t, db, check("a", store.At(r)), check("b", store.Absent()), put("task", "c", store.Absent(), `{}`))
	must(t, db, check("a", store.At(r)))
	refused(t, db, fault.Conflict, batch(check("b", store.At(1)), put("task", "d", store.Absent(), `{}`)))
	return func(t *testing.T, db store.DB) {
		is(t, db, task("a"), r, `{}`)
		is(t, db, task("b"), 0, "")
		is(t, db, task("d"), 0, "")
	}
}

// bodies that an engine likes to bend.
func bodies(t *testing.T, db store.DB) look {
	all := []string{
		`{"":"empty name","a.b":1,"Ключ":2,"` + "\U0001F600" + `":3}`,
		`{"max":9223372036854775807,"min":-9223372036854775808,"past_float":9007199254740993,"zero":0}`,
		`{"big":1e+21,"half":0.5,"small":1e-7,"tenth":0.1,"third":0.3333333333333333}`,
		`{"a":null,"b":[null,{}],"c":[],"d":{},"e":[[[]]],"f":true,"g":false,"h":""}`,
		`{"html":"<a href='x'>&amp;</a>","nul":"a\u0000b","quote":"\"\\\b\f\n\r\t\u001f","sep":"` + "\u2028\u2029\x7f" + `"}`,
		`{"looks_like":["2026-11-25T22:43:46Z","task:1","task:⟨1⟩","d'x'","1","NONE","null","u'0193d7a8-1111-7abc-8def-0123456789ab'"]}`,
		`{"id":"another","in":"x","k":"y","out":"z","rev":1}`,
		`"text"`, `7`, `null`, `[]`, `{}`, `-1`, `0.25`, `true`,
		`{"long":"` + strings.Repeat("ü", 20000) + `"}`,
	}
	for i, b := range all {
		must(t, db, put("task", fmt.Sprint("d", i), store.Absent(), b))
	}
	return func(t *testing.T, db store.DB) {
		for i, b := range all {
			d, err := db.Get(t.Context(), task(fmt.Sprint("d", i)))
			if err != nil || string(d.Body) != b {
				t.Errorf("body %.100s came back as %.100s, %v", b, d.Body, err)
			}
		}
		page, _ := ids(t, db, store.Query{Kind: "task", Limit: 100})
		for _, d := range page.Docs {
			var i int
			if _, err := fmt.Sscanf(d.Key.ID, "d%d", &i); err != nil || string(d.Body) != all[i] {
				t.Errorf("%s is listed as %.100s", d.Key.ID, d.Body)
			}
		}
	}
}

func valuesAreCopied(t *testing.T, db store.DB) look {
	b := store.Batch{
		Writes:  []store.Write{put("task", "a", store.Absent(), `{"n":1}`, "state", "x")},
		Appends: events(`entry`),
	}
	r, err := db.Commit(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	scribble := func(p []byte) {
		for i := range p {
			p[i] = '#'
		}
	}
	scribble(b.Writes[0].Body)
	scribble(b.Appends[0].Body)
	b.Writes[0].Index[0].Value = "y"
	return func(t *testing.T, db store.DB) {
		for range 2 {
			d, err := db.Get(t.Context(), task("a"))
			if err != nil || string(d.Body) != `{"n":1}` || d.Index[0].Value != "x" {
				t.Fatalf("got %+v, %v", d, err)
			}
			scribble(d.Body)
			d.Index[0].Value = "z"
			page := list(t, db, store.Query{Kind: "task", Index: "state", Prefix: "x", Exact: true, Limit: 1}, "a")
			scribble(page.Docs[0].Body)
			page.Docs[0].Index[0].Value = "z"
			e, err := db.Read(t.Context(), "events", 0, 1)
			if err != nil || string(e.Entries[0].Body) != "entry" {
				t.Fatalf("got %+v, %v", e, err)
			}
		}
		is(t, db, task("a"), r.Rev, `{"n":1}`)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := db.Get(ended, task("a")); !fault.Is(err, fault.Unavailable) {
			t.Errorf("get with an ended context: %v", err)
		}
	}
}
