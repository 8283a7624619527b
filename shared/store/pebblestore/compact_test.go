package pebblestore

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// TestDiskFallsWithWhatIsDeletedAndTrimmed compares a store that lost five of six rows with one
// that only ever had the sixth.
func TestDiskFallsWithWhatIsDeletedAndTrimmed(t *testing.T) {
	t.Parallel()
	const kept, gone = 6_000, 30_000
	lossy, lossyFS := filled(t, 0, gone+kept)
	for at := 0; at < gone; at += 1000 {
		b := store.Batch{Trims: []store.Trim{{Stream: "events", Through: uint64(at + 1000)}}}
		for i := range 1000 {
			b.Writes = append(b.Writes, store.Write{Key: store.Key{Kind: "task", ID: rowID(at + i)}, Expect: store.Any(),
				Action: store.Delete})
		}
		if _, err := lossy.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	lossy.free(t.Context(), 1) // on a slow machine most spans have been merged by the ticker
	lean, leanFS := filled(t, gone, gone+kept)
	got, want := closedBytes(t, lossy, lossyFS), closedBytes(t, lean, leanFS)
	t.Logf("%d bytes where five of six rows were deleted, %d where they never were", got, want)
	if got > want*105/100 {
		t.Errorf("%d bytes on disk for rows that take %d", got, want)
	}
	again, err := open("db", storetest.Schema(), quiet, lossyFS)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	page, err := again.List(t.Context(), store.Query{Kind: "task", Index: "state", Prefix: "done", Exact: true, Limit: 1, Total: true})
	if err != nil || page.Total != kept || len(page.Docs) != 1 || page.Docs[0].Key.ID != rowID(gone) {
		t.Errorf("%+v, %v", page, err)
	}
}

// TestTidyLeavesAlone_whatIsNotWorthAMerge deletes few rows of many.
func TestTidyLeavesAlone_whatIsNotWorthAMerge(t *testing.T) {
	t.Parallel()
	var w deletions
	w.add([]byte("d task\x00"), deleted{kind: "task", from: []byte("d1"), to: []byte("d2"), rows: tidyRows - 1})
	if due := w.take(tidyRows); len(due) != 0 {
		t.Errorf("%d spans are due", len(due))
	}
	w.add([]byte("d task\x00"), deleted{kind: "task", from: []byte("d0"), to: []byte("d1"), rows: 1})
	due := w.take(tidyRows)
	if s := due["d task\x00"]; s == nil || string(s.from) != "d0" || string(s.to) != "d2" || s.rows != tidyRows {
		t.Errorf("due are %+v", due)
	}
	if len(w.take(1)) != 0 {
		t.Error("what was taken is there still")
	}
}

func rowID(i int) string { return fmt.Sprintf("%08d", i) }

// filled returns a store in memory with the rows from one to the other, each a document and an
// entry that no compression makes smaller.
func filled(t *testing.T, from, to int) (*Store, *vfs.MemFS) {
	t.Helper()
	fs := vfs.NewMem()
	s, err := open("db", storetest.Schema(), quiet, fs)
	if err != nil {
		t.Fatal(err)
	}
	noise := rand.New(rand.NewPCG(1, 2))
	for at := from; at < to; at += 1000 {
		var b store.Batch
		for i := range 1000 {
			text := make([]byte, 300)
			for k := range text {
				text[k] = byte('a' + noise.IntN(26))
			}
			b.Writes = append(b.Writes, store.Write{Key: store.Key{Kind: "task", ID: rowID(at + i)}, Expect: store.Absent(),
				Index: []store.IndexKey{{Name: "state", Value: "done"}, {Name: "owner", Value: string(text[:3])}},
				Body:  fmt.Appendf(nil, "%q", text)})
			b.Appends = append(b.Appends, store.Append{Stream: "events", Body: text})
		}
		if _, err := s.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	return s, fs
}

// closedBytes closes the store and returns the size of the tables of its engine.
func closedBytes(t *testing.T, s *Store, fs *vfs.MemFS) int64 {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, name := range names {
		if info, err := fs.Stat(fs.PathJoin("db", name)); err == nil && strings.HasSuffix(name, ".sst") {
			sum += info.Size()
		}
	}
	return sum
}
