package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// twin drives a store and the oracle with the same operations. Commit numbers may differ between
// them, so revisions are translated: revs maps one of the oracle to that of the store.
type twin struct {
	r      *rand.Rand
	oracle *memstore.Store
	revs   map[uint64]uint64
	live   map[store.Key]uint64 // revisions in the oracle
	dead   []uint64             // revisions that were replaced
}

// random runs random commits and queries on the store and on memstore and compares every answer.
func random(t *testing.T, db store.DB) look {
	w := &twin{r: Rand(t), oracle: memstore.New(Schema()), revs: map[uint64]uint64{0: 0}, live: map[store.Key]uint64{}}
	for range 400 {
		w.commit(t, db)
		w.query(t, db)
		if t.Failed() {
			break
		}
	}
	return func(t *testing.T, db store.DB) { w.compare(t, db) }
}

func (w *twin) key() store.Key {
	return store.Key{Kind: []string{"task", "task", "tas", "user"}[w.r.IntN(4)], ID: fmt.Sprint("k", w.r.IntN(12))}
}

// expect draws an expectation: half are live revisions, the rest absent, any and stale ones.
func (w *twin) expect(k store.Key) store.Expect {
	switch n := w.r.IntN(10); {
	case n < 5:
		return store.At(w.live[k])
	case n < 7:
		return store.Any()
	case n < 9 || len(w.dead) == 0:
		return store.Absent()
	}
	return store.At(w.dead[w.r.IntN(len(w.dead))])
}

func (w *twin) batch() (b store.Batch) {
	used := map[store.Key]bool{}
	for range w.r.IntN(4) {
		k := w.key()
		if used[k] {
			continue
		}
		used[k] = true
		write := store.Write{Key: k, Expect: w.expect(k), Action: store.Action(w.r.IntN(3))}
		if w.r.IntN(2) == 0 {
			write.Action = store.Put
		}
		if write.Action == store.Put {
			write.Body = fmt.Appendf(nil, `{"n":%d,"s":"%x"}`, w.r.Int64()-1<<62, w.r.IntN(1<<20))
			kind, _ := Schema().Kind(k.Kind)
			for _, name := range kind.Indexes {
				if w.r.IntN(3) > 0 {
					write.Index = append(write.Index, store.IndexKey{Name: name, Value: []string{"", "a", "ab", "b"}[w.r.IntN(4)]})
				}
			}
		}
		b.Writes = append(b.Writes, write)
	}
	for i := range w.r.IntN(3) {
		b.Appends = append(b.Appends, store.Append{Stream: []string{"audit", "events"}[w.r.IntN(2)],
			Body: fmt.Appendf(nil, "%d %d", i, w.r.Int())})
	}
	if len(b.Writes)+len(b.Appends) == 0 {
		b.Appends = events("alone")
	}
	if w.r.IntN(8) == 0 {
		head, _ := w.oracle.Read(context.Background(), "events", store.Latest, 0)
		b.Trims = []store.Trim{{Stream: "events", Through: head.Head / 2}}
	}
	return b
}

// translated is the batch with the revisions of the store under test.
func (w *twin) translated(b store.Batch) store.Batch {
	b.Writes = slices.Clone(b.Writes)
	for i := range b.Writes {
		if rev, demanded := b.Writes[i].Expect.Wants(); demanded {
			b.Writes[i].Expect = store.At(w.revs[rev])
		}
	}
	return b
}

func (w *twin) commit(t *testing.T, db store.DB) {
	b := w.batch()
	want, wantErr := w.oracle.Commit(t.Context(), b)
	got, gotErr := db.Commit(t.Context(), w.translated(b))
	if fault.KindOf(wantErr) != fault.KindOf(gotErr) || (wantErr == nil) != (gotErr == nil) || !slices.Equal(want.Seqs, got.Seqs) {
		t.Errorf("commit %+v: %v, %v; the oracle says %v, %v", b, got, gotErr, want, wantErr)
		return
	}
	if wantErr != nil {
		return
	}
	w.revs[want.Rev] = got.Rev
	for _, write := range b.Writes {
		if write.Action == store.Check {
			continue
		}
		if old := w.live[write.Key]; old != 0 {
			w.dead = append(w.dead, old)
		}
		delete(w.live, write.Key)
		if write.Action == store.Put {
			w.live[write.Key] = want.Rev
		}
	}
}

func (w *twin) query(t *testing.T, db store.DB) {
	kind := Schema().Kinds[w.r.IntN(3)]
	q := store.Query{Kind: kind.Name, Reverse: w.r.IntN(2) == 0, Limit: w.r.IntN(6), Skip: max(0, w.r.IntN(6)-3)}
	for range w.r.IntN(3) {
		q.Counts = append(q.Counts, []store.CounterKey{{Kind: "task"}, {Kind: "tas"}, {Kind: "user"},
			{Kind: "task", Index: "state", Value: "a"}}[w.r.IntN(4)])
	}
	if len(kind.Indexes) > 0 && w.r.IntN(3) > 0 {
		q.Index = kind.Indexes[w.r.IntN(len(kind.Indexes))]
		q.Prefix = []string{"", "a", "ab", "b"}[w.r.IntN(4)]
		q.Exact = w.r.IntN(2) == 0
		q.Total = q.Exact && slices.Contains(kind.Counted, q.Index)
	} else {
		q.Prefix = []string{"", "k1", "k"}[w.r.IntN(3)]
		q.Total = q.Prefix == ""
	}
	if w.r.IntN(2) == 0 {
		q.After.ID = fmt.Sprint("k", w.r.IntN(12))
		if q.Index != "" {
			q.After.Value = []string{"", "a", "ab", "b"}[w.r.IntN(4)]
		}
	}
	w.same(t, db, q)
}

// same compares one page.
func (w *twin) same(t *testing.T, db store.DB, q store.Query) {
	want, err := w.oracle.List(context.Background(), q)
	if err != nil {
		t.Fatalf("oracle %+v: %v", q, err)
	}
	got, err := db.List(t.Context(), q)
	if err != nil || got.Total != want.Total || got.Rev < w.revs[want.Rev] || !slices.Equal(got.Counts, want.Counts) ||
		got.More != want.More || got.More && got.Next != want.Next || len(got.Docs) != len(want.Docs) {
		t.Errorf("list %+v:\n got %+v, %v\nwant %+v", q, got, err, want)
		return
	}
	for i, d := range got.Docs {
		if !same(d, want.Docs[i]) || d.Rev != w.revs[want.Docs[i].Rev] {
			t.Errorf("list %+v: row %d is %+v, want %+v", q, i, d, want.Docs[i])
		}
	}
}

// compare compares everything there is.
func (w *twin) compare(t *testing.T, db store.DB) {
	for _, k := range Schema().Kinds {
		w.same(t, db, store.Query{Kind: k.Name, Limit: store.MaxPage, Total: true})
		for _, name := range k.Indexes {
			w.same(t, db, store.Query{Kind: k.Name, Index: name, Limit: store.MaxPage})
		}
		for i := range 12 {
			key := store.Key{Kind: k.Name, ID: fmt.Sprint("k", i)}
			want, _ := w.oracle.Get(context.Background(), key)
			got, err := db.Get(t.Context(), key)
			if err != nil || !same(got, want) || got.Rev != w.revs[want.Rev] {
				t.Errorf("get %v: %+v, %v; want %+v", key, got, err, want)
			}
		}
	}
	for _, s := range []string{"audit", "events"} {
		want, _ := w.oracle.Read(context.Background(), s, 0, store.MaxPage)
		got, err := db.Read(t.Context(), s, 0, store.MaxPage)
		if err != nil || got.First != want.First || got.Head != want.Head ||
			!slices.EqualFunc(got.Entries, want.Entries, func(a, b store.Entry) bool {
				return a.Seq == b.Seq && string(a.Body) == string(b.Body)
			}) {
			t.Errorf("stream %s differs: head %d, want %d, %v", s, got.Head, want.Head, err)
		}
	}
}
