package pebblestore

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// A second opener is refused at once and told what to do, in this process and in another one.
func TestOpen_secondProcessIsRefused(t *testing.T) {
	if dir := os.Getenv("PEBBLESTORE_LOCKED"); dir != "" { // the other process
		_, err := Open(dir, storetest.Schema(), quiet)
		if fault.CodeOf(err) != "store.locked" {
			t.Errorf("opened in another process: %v", err)
		}
		return
	}
	dir := t.TempDir()
	s, err := Open(dir, storetest.Schema(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, storetest.Schema(), quiet); fault.CodeOf(err) != "store.locked" {
		t.Errorf("opened twice: %v", err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOpen_secondProcessIsRefused$")
	cmd.Env = append(os.Environ(), "PEBBLESTORE_LOCKED="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s, err = Open(dir, storetest.Schema(), quiet); err != nil {
		t.Fatalf("after the first one closed: %v", err)
	}
	_ = s.Close()
}

func TestOpen_newStoreWritesTheNewLogFormat(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir(), storetest.Schema(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if got := s.db.FormatMajorVersion(); got < pebble.FormatWALSyncChunks {
		t.Errorf("format %d", got)
	}
}

func TestOpen_refuses(t *testing.T) {
	t.Parallel()
	if _, err := Open(t.TempDir(), store.Schema{}, quiet); fault.CodeOf(err) != "store.schema" {
		t.Errorf("a wrong schema: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(file, "store"), storetest.Schema(), quiet); fault.CodeOf(err) != "store.open" {
		t.Errorf("below a file: %v", err)
	}
	dir := t.TempDir()
	s, err := Open(dir, storetest.Schema(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Set(formatKey, []byte("99"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if _, err := Open(dir, storetest.Schema(), quiet); fault.CodeOf(err) != "store.format" || !strings.Contains(err.Error(), "99") {
		t.Errorf("a format of tomorrow: %v", err)
	}
}

// Reading a folder leaves every byte of it as it was, also after a crash.
func TestOpenReadOnly_changesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir, storetest.Schema(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := entry(t, s, i); err != nil {
			t.Fatal(err)
		}
	}
	image := t.TempDir()
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := listing(t, image)
	look, err := OpenReadOnly(image, storetest.Schema())
	if err != nil {
		t.Fatal(err)
	}
	if n := whole(t, look); n != 10 {
		t.Errorf("%d commits", n)
	}
	if err := entry(t, look, 77); fault.CodeOf(err) != "store.read_only" {
		t.Errorf("commit: %v", err)
	}
	if err := look.Close(); err != nil {
		t.Error(err)
	}
	if after := listing(t, image); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	empty := t.TempDir()
	if _, err := OpenReadOnly(filepath.Join(empty, "store"), storetest.Schema()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("nothing there: %v", err)
	}
	if got := listing(t, empty); got != "" {
		t.Errorf("looking created %s", got)
	}
}

// listing is every file of a folder with its content; the lock file, which holds nothing, left out.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if f.Name() != "LOCK" {
			b.WriteString(f.Name() + " " + string(content) + "\n")
		}
	}
	return b.String()
}

// A program that counts another index or sums another kind finds right totals and sums at once.
func TestOpen_recountsWhenTheSchemaCountsOrSumsMore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir, storetest.Schema(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	for _, owner := range []string{"me", "you", "me"} {
		_, err := s.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: store.Key{Kind: "task", ID: owner + string(rune('0'+s.number))}, Body: []byte(`{}`),
			Index: []store.IndexKey{{Name: "owner", Value: owner}, {Name: "state", Value: "s"}}}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: store.Key{Kind: "tas", ID: "a"}, Body: []byte(`{"n":1}`)}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	more := storetest.Schema()
	more.Kinds[0].Counted = []string{"owner", "state"}
	more.Kinds[1].Summed = true
	if s, err = Open(dir, more, quiet); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for value, want := range map[string]int{"me": 2, "you": 1, "they": 0} {
		page, err := s.List(t.Context(), store.Query{Kind: "task", Index: "owner", Prefix: value, Exact: true, Total: true})
		if err != nil || page.Total != want {
			t.Errorf("%s: %d, %v; want %d", value, page.Total, err, want)
		}
	}
	page, err := s.List(t.Context(), store.Query{Kind: "task", Total: true})
	if err != nil || page.Total != 3 {
		t.Errorf("all: %d, %v", page.Total, err)
	}
	page, err = s.List(t.Context(), store.Query{Kind: "tas", Counts: []store.CounterKey{{Kind: "tas"}}})
	if want := (store.Count{N: 1, Sum: store.Digest([]byte(`{"n":1}`))}); err != nil || page.Counts[0] != want {
		t.Errorf("the sum of a kind that was not summed before: %+v, %v", page.Counts, err)
	}
}

// Closing under load: who was acknowledged is there afterwards, everybody else is told unavailable,
// and nobody waits for ever.
func TestClose_whileOthersReadAndWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir, storetest.Schema(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	var acknowledged atomic.Int64
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 1000 {
				_, readErr := s.Read(t.Context(), "events", 0, 10)
				if err := entry(t, s, w*1000+i); err != nil {
					if !fault.Is(err, fault.Unavailable) || readErr != nil && !fault.Is(readErr, fault.Unavailable) {
						t.Errorf("%v, %v", err, readErr)
					}
					return
				}
				acknowledged.Add(1)
			}
		})
	}
	for acknowledged.Load() < 50 {
		runtime.Gosched()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if s, err = Open(dir, storetest.Schema(), quiet); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Read(t.Context(), "events", store.Latest, 0); err != nil || e.Head < uint64(acknowledged.Load()) {
		t.Errorf("head %d, %v; %d were acknowledged", e.Head, err, acknowledged.Load())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A row of an index that is not declared for a while does not come back to life with it.
func TestOpen_indexNotDeclaredForAWhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	with := func(revision int, indexes ...string) int {
		s, err := Open(dir, store.Schema{Service: "test", Kinds: []store.Kind{{Name: "doc", Indexes: indexes}}}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		var keys []store.IndexKey
		if revision == 0 {
			keys = []store.IndexKey{{Name: "a", Value: "1"}, {Name: "b", Value: "1"}}
		}
		w := store.Write{Key: store.Key{Kind: "doc", ID: "1"}, Expect: store.Any(), Index: keys, Body: []byte(`{}`)}
		if revision < 2 {
			if _, err := s.Commit(t.Context(), store.Batch{Writes: []store.Write{w}}); err != nil {
				t.Fatal(err)
			}
			return 0
		}
		page, err := s.List(t.Context(), store.Query{Kind: "doc", Index: "b", Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Docs)
	}
	with(0, "a", "b")
	with(1, "a")
	if n := with(2, "a", "b"); n != 0 {
		t.Errorf("index b lists %d documents that have no key in it", n)
	}
}
