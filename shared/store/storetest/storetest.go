// Package storetest holds every driver of the storage port to one contract, and makes stores fail
// on purpose for the tests of those who use one.
//
// Run is the suite: each case writes, looks, opens the same data anew and looks again. Faulty wraps
// a store so that chosen commits fail before they take effect or lose their reply afterwards. The
// package is for tests only. The one rule a caller must know: the stores given to Run are empty and
// declared with Schema.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// Open opens an empty store with Schema for one case. reopen closes what is open and opens the same
// data anew; a driver without durability returns the store as it is. Whatever is open at the end is
// closed by Run.
type Open func(t *testing.T) (db store.DB, reopen func() store.DB)

// Schema is what the suite stores.
func Schema() store.Schema {
	return store.Schema{Service: "storetest", Kinds: []store.Kind{
		{Name: "task", Indexes: []string{"state", "owner"}, Counted: []string{"state"}, Summed: true},
		{Name: "tas"}, // a prefix of another name
		{Name: "user", Indexes: []string{"name"}, Summed: true},
	}}
}

// look reads a store and complains; it must not write.
type look func(t *testing.T, db store.DB)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, db store.DB) look
	}{
		{"putGetDelete", putGetDelete},
		{"expectations", expectations},
		{"deletedRevisionsStayDead", deletedRevisionsStayDead},
		{"allOrNothing", allOrNothing},
		{"checkOnly", checkOnly},
		{"bodiesComeBackByteForByte", bodies},
		{"valuesAreCopied", valuesAreCopied},
		{"streams", streams},
		{"trims", trims},
		{"trimmedToTheHead", trimmedToTheHead},
		{"listsInOrder", listsInOrder},
		{"deepSkips", deepSkips},
		{"indexesFollowTheDocument", indexesFollow},
		{"listsByOddTexts", oddTexts},
		{"counters", counters},
		{"sumsAreThoseOfAFullScan", sums},
		{"aPageIsOfOneMoment", oneMoment},
		{"limitsAreRefused", limits},
		{"largestCommit", largestCommit},
		{"contention", contention},
		{"randomAgainstOracle", random},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db, reopen := open(t)
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			check := c.run(t, db)
			check(t, db)
			if t.Failed() {
				return
			}
			db = reopen()
			t.Run("reopened", func(t *testing.T) { check(t, db) })
		})
	}
	t.Run("closedIsUnavailable", func(t *testing.T) {
		t.Parallel()
		db, _ := open(t)
		closed(t, db)
	})
}

// Rand returns a random source for a test. Its seed is printed and taken from STORETEST_SEED.
func Rand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("STORETEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("STORETEST_SEED: %v", err)
		}
	}
	t.Logf("seed: STORETEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func closed(t *testing.T, db store.DB) {
	must(t, db, put("task", "a", store.Absent(), `{}`))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, errGet := db.Get(ctx, task("a"))
	_, errList := db.List(ctx, store.Query{Kind: "task", Limit: 1})
	_, errRead := db.Read(ctx, "events", 0, 1)
	_, errCommit := db.Commit(ctx, batch(put("task", "b", store.Absent(), `{}`)))
	for i, err := range []error{errGet, errList, errRead, errCommit} {
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("call %d on a closed store: %v, want unavailable", i, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// Shorthands of the cases.

func task(id string) store.Key { return store.Key{Kind: "task", ID: id} }

func put(kind, id string, e store.Expect, body string, index ...string) store.Write {
	w := store.Write{Key: store.Key{Kind: kind, ID: id}, Expect: e, Body: []byte(body)}
	for i := 0; i < len(index); i += 2 {
		w.Index = append(w.Index, store.IndexKey{Name: index[i], Value: index[i+1]})
	}
	return w
}

func del(id string, e store.Expect) store.Write {
	return store.Write{Key: task(id), Expect: e, Action: store.Delete}
}

func check(id string, e store.Expect) store.Write {
	return store.Write{Key: task(id), Expect: e, Action: store.Check}
}

func batch(writes ...store.Write) store.Batch { return store.Batch{Writes: writes} }

func events(bodies ...string) (out []store.Append) {
	for _, b := range bodies {
		out = append(out, store.Append{Stream: "events", Body: []byte(b)})
	}
	return out
}

// must commits and returns the receipt.
func must(t *testing.T, db store.DB, writes ...store.Write) store.Receipt {
	t.Helper()
	r, err := db.Commit(t.Context(), batch(writes...))
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return r
}

// refused commits and wants a fault of that kind.
func refused(t *testing.T, db store.DB, kind fault.Kind, b store.Batch) {
	t.Helper()
	if r, err := db.Commit(t.Context(), b); !fault.Is(err, kind) {
		t.Errorf("commit: %v, %v; want a fault of kind %d", r, err, kind)
	}
}

// is wants the document with that revision and body; rev 0 wants none.
func is(t *testing.T, db store.DB, k store.Key, rev uint64, body string) {
	t.Helper()
	d, err := db.Get(t.Context(), k)
	if err != nil {
		t.Fatalf("get %v: %v", k, err)
	}
	if d.Key != k || d.Rev != rev || string(d.Body) != body {
		t.Errorf("get %v: %v rev %d %.80s, want rev %d %.80s", k, d.Key, d.Rev, d.Body, rev, body)
	}
	if rev == 0 && (d.Exists() || len(d.Index) > 0) {
		t.Errorf("get %v: an absent document with content", k)
	}
}

// read wants exactly these entries in the stream.
func read(t *testing.T, db store.DB, stream string, want ...string) {
	t.Helper()
	got, err := db.Read(t.Context(), stream, 0, store.MaxPage)
	if err != nil {
		t.Fatalf("read %s: %v", stream, err)
	}
	if got.Head != uint64(len(want)) || len(got.Entries) != len(want) {
		t.Fatalf("read %s: %d entries, head %d; want %d", stream, len(got.Entries), got.Head, len(want))
	}
	for i, e := range got.Entries {
		if e.Seq != uint64(i+1) || string(e.Body) != want[i] {
			t.Errorf("read %s: entry %d is %q, want %d %q", stream, e.Seq, e.Body, i+1, want[i])
		}
	}
}

// ids lists and returns the page with its ids.
func ids(t *testing.T, db store.DB, q store.Query) (store.Page, []string) {
	t.Helper()
	page, err := db.List(t.Context(), q)
	if err != nil {
		t.Fatalf("list %+v: %v", q, err)
	}
	out := []string{}
	for _, d := range page.Docs {
		out = append(out, d.Key.ID)
	}
	return page, out
}

// list wants these ids from one page.
func list(t *testing.T, db store.DB, q store.Query, want ...string) store.Page {
	t.Helper()
	page, got := ids(t, db, q)
	if !slices.Equal(got, want) {
		t.Errorf("list %+v: %q, want %q", q, got, want)
	}
	return page
}

// same says whether two documents are equal apart from their revision.
func same(a, b store.Doc) bool {
	return a.Key == b.Key && a.Exists() == b.Exists() && bytes.Equal(a.Body, b.Body) && slices.Equal(sorted(a.Index), sorted(b.Index))
}

func sorted(index []store.IndexKey) []string {
	var out []string
	for _, x := range index {
		out = append(out, fmt.Sprintf("%s=%s", x.Name, x.Value))
	}
	slices.Sort(out)
	return out
}
