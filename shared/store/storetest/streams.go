package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

func streams(t *testing.T, db store.DB) look {
	first, err := db.Commit(t.Context(), store.Batch{Appends: []store.Append{
		{Stream: "events", Body: []byte(`{"b":1, "a":2}`)}, // exact text, not canonical
		{Stream: "audit", Body: []byte(`x`)},
		{Stream: "events", Body: []byte("")},
		{Stream: "event", Body: []byte("line\r\n\x00\u2028\U0001F600")},
	}})
	if err != nil || !slices.Equal(first.Seqs, []uint64{1, 1, 2, 1}) {
		t.Fatalf("receipt %v, %v", first, err)
	}
	second, err := db.Commit(t.Context(), store.Batch{Appends: events("three", "four", "five")})
	if err != nil || !slices.Equal(second.Seqs, []uint64{3, 4, 5}) || second.Rev <= first.Rev {
		t.Fatalf("receipt %v, %v", second, err)
	}
	for i := range 30 {
		if _, err := db.Commit(t.Context(), store.Batch{Appends: []store.Append{{Stream: "long",
			Body: []byte(fmt.Sprint(i + 1))}}}); err != nil {
			t.Fatal(err)
		}
	}
	return func(t *testing.T, db store.DB) {
		read(t, db, "events", `{"b":1, "a":2}`, "", "three", "four", "five")
		read(t, db, "audit", "x")
		read(t, db, "event", "line\r\n\x00\u2028\U0001F600")
		read(t, db, "unknown")
		for _, c := range []struct {
			after uint64
			limit int
			want  []uint64
		}{
			{0, 3, []uint64{1, 2, 3}},
			{7, 2, []uint64{8, 9}},
			{28, 10, []uint64{29, 30}},
			{29, 1, []uint64{30}},
			{30, 10, nil},
			{31, 10, nil},
			{1 << 40, 10, nil},
			{0, 0, nil},
			{store.Latest, 10, nil},
		} {
			got, err := db.Read(t.Context(), "long", c.after, c.limit)
			if err != nil || got.First != 1 || got.Head != 30 || len(got.Entries) != len(c.want) {
				t.Errorf("read after %d limit %d: %d entries, head %d, %v", c.after, c.limit, len(got.Entries), got.Head, err)
				continue
			}
			for i, e := range got.Entries {
				if e.Seq != c.want[i] || string(e.Body) != fmt.Sprint(c.want[i]) {
					t.Errorf("read after %d: entry %d is %d %q", c.after, i, e.Seq, e.Body)
				}
			}
		}
	}
}

// trims removes the beginning of one stream again and again and leaves the others alone.
func trims(t *testing.T, db store.DB) look {
	for i := range 40 {
		if _, err := db.Commit(t.Context(), store.Batch{Appends: []store.Append{
			{Stream: "events", Body: fmt.Append(nil, i+1)}, {Stream: "event", Body: []byte("x")}, {Stream: "events2", Body: []byte("x")},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		batch store.Batch
		first uint64
		heads []uint64 // of appends
	}{
		{"alone", store.Batch{Trims: []store.Trim{{Stream: "events", Through: 5}}}, 6, nil},
		{"again", store.Batch{Trims: []store.Trim{{Stream: "events", Through: 5}}}, 6, nil},
		{"never back", store.Batch{Trims: []store.Trim{{Stream: "events", Through: 2}}}, 6, nil},
		{"with a document and an entry", store.Batch{Writes: []store.Write{put("task", "a", store.Absent(), `{}`)}, Appends: events("41"), Trims: []store.Trim{{Stream: "events", Through: 20}}}, 21, []uint64{41}},
		{"refused", store.Batch{Writes: []store.Write{put("task", "a", store.Absent(), `{}`)}, Trims: []store.Trim{{Stream: "events", Through: 30}}}, 21, nil},
		{"of what never was", store.Batch{Appends: events("42"), Trims: []store.Trim{{Stream: "unknown", Through: 9}}}, 21, []uint64{42}},
	} {
		r, err := db.Commit(t.Context(), c.batch)
		if refused := c.name == "refused"; (err != nil) != refused || refused && !fault.Is(err, fault.Conflict) ||
			!slices.Equal(r.Seqs, c.heads) {
			t.Fatalf("%s: %v, %v", c.name, r, err)
		}
		if got, err := db.Read(t.Context(), "events", 0, 1); err != nil || got.First != c.first || len(got.Entries) != 1 ||
			got.Entries[0].Seq != c.first {
			t.Errorf("%s: %+v, %v; want the first entry to be %d", c.name, got, err, c.first)
		}
	}
	for _, b := range []store.Batch{
		{Trims: []store.Trim{{Stream: "events", Through: 1}, {Stream: "events", Through: 2}}},
		{Trims: []store.Trim{{Stream: ""}}},
		{Trims: make([]store.Trim, store.MaxTrims+1)},
	} {
		if _, err := db.Commit(t.Context(), b); !fault.Is(err, fault.Invalid) {
			t.Errorf("%d trims: %v", len(b.Trims), err)
		}
	}
	return func(t *testing.T, db store.DB) {
		for _, c := range []struct {
			after uint64
			limit int
			want  []uint64
		}{{0, 2, []uint64{21, 22}}, {19, 2, []uint64{21, 22}}, {20, 2, []uint64{21, 22}}, {21, 2, []uint64{22, 23}}, {40, 5,
			[]uint64{41, 42}}, {42, 5, nil}, {0, 0, nil}, {store.Latest, 1, nil}} {
			got, err := db.Read(t.Context(), "events", c.after, c.limit)
			if err != nil || got.First != 21 || got.Head != 42 || len(got.Entries) != len(c.want) {
				t.Errorf("read after %d: %+v, %v", c.after, got, err)
				continue
			}
			for i, e := range got.Entries {
				if e.Seq != c.want[i] || string(e.Body) != fmt.Sprint(c.want[i]) {
					t.Errorf("read after %d: entry %d is %d %q", c.after, i, e.Seq, e.Body)
				}
			}
		}
		for _, other := range []string{"event", "events2"} {
			if got, err := db.Read(t.Context(), other, 0, 100); err != nil || got.First != 1 || len(got.Entries) != 40 {
				t.Errorf("%s lost entries: %d, %v", other, len(got.Entries), err)
			}
		}
		if got, err := db.Read(t.Context(), "unknown", 0, 1); err != nil || got.First != 1 || got.Head != 0 {
			t.Errorf("unknown: %+v, %v", got, err)
		}
	}
}

// trimmedToTheHead leaves nothing of a stream but its head, from which it goes on.
func trimmedToTheHead(t *testing.T, db store.DB) look {
	all := []store.Trim{{Stream: "events", Through: store.Latest}}
	for i, b := range []store.Batch{{Appends: events("1", "2", "3"), Trims: all}, {Appends: events("4")}, {Trims: all},
		{Appends: events("5"), Trims: all}} {
		r, err := db.Commit(t.Context(), b)
		if err != nil || len(r.Seqs) != len(b.Appends) {
			t.Fatalf("batch %d: %v, %v", i, r, err)
		}
		if n := len(r.Seqs); i > 0 && n > 0 && r.Seqs[0] != map[int]uint64{1: 4, 3: 5}[i] {
			t.Errorf("batch %d: the stream goes on with %v", i, r.Seqs)
		}
	}
	return func(t *testing.T, db store.DB) {
		got, err := db.Read(t.Context(), "events", 0, 10)
		if err != nil || got.First != 6 || got.Head != 5 || len(got.Entries) != 0 {
			t.Errorf("a stream trimmed to its head 5: %+v, %v", got, err)
		}
	}
}
