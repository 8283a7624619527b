package pebblestore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// TestRead_isTheSameFromMemoryAndFromTheEngine appends far more than the tail holds, in entries of
// all sizes, and reads from every place: also where the tail begins.
func TestRead_isTheSameFromMemoryAndFromTheEngine(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	db, err := Open(dir, storetest.Schema(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	check := func(after, limit int) {
		t.Helper()
		page, err := db.Read(t.Context(), "events", uint64(after), limit)
		want := all[after:min(len(all), after+limit)]
		if err != nil || page.Head != uint64(len(all)) || len(page.Entries) != len(want) {
			t.Fatalf("%d entries after %d: got %d, head %d of %d, %v", limit, after, len(page.Entries), page.Head, len(all), err)
		}
		for i, e := range page.Entries {
			if e.Seq != uint64(after+i+1) || !bytes.Equal(e.Body, want[i]) {
				t.Fatalf("entry %d after %d has sequence %d and %d bytes", i, after, e.Seq, len(e.Body))
			}
		}
	}
	for size := 0; size < 3*tailBytes; {
		var b store.Batch
		for range 1 + random.IntN(20) {
			body := bytes.Repeat([]byte(fmt.Sprint(len(all)%10)), 1+random.IntN(1<<random.IntN(17)))
			body = body[:min(len(body), store.MaxEntry)]
			b.Appends = append(b.Appends, store.Append{Stream: "events", Body: body}, store.Append{Stream: "other", Body: []byte("x")})
			all, size = append(all, body), size+len(body)
		}
		if _, err := db.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		check(random.IntN(len(all)), 1+random.IntN(50))
	}
	kept := db.view.Load().tails["events"]
	first := int(kept.entries[0].Seq)
	if first == 1 || kept.bytes > tailBytes {
		t.Fatalf("the tail begins at %d and has %d bytes", first, kept.bytes)
	}
	for _, after := range []int{0, first - 2, first - 1, first, len(all) - 1, len(all)} {
		for _, limit := range []int{1, 2, store.MaxPage} {
			check(after, limit)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(dir, storetest.Schema(), quiet); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	check(len(all)-5, 10)
	all = append(all, []byte("more"))
	if _, err := db.Commit(t.Context(), store.Batch{Appends: []store.Append{{Stream: "events", Body: []byte("more")}}}); err != nil {
		t.Fatal(err)
	}
	check(len(all)-5, 10)
}
