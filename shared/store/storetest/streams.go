package storetest

import (
	"fmt"
	"slices"
	"testing"

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
		if _, err := db.Commit(t.Context(), store.Batch{Appends: []store.Append{{Stream: "long", Body: []byte(fmt.Sprint(i + 1))}}}); err != nil {
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
			if err != nil || got.Head != 30 || len(got.Entries) != len(c.want) {
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
