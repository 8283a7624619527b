package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// openOn opens a store on a file system in memory.
func openOn(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := open("data", storetest.Schema(), quiet, fs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// entry commits one document and one entry that belong together.
func entry(t *testing.T, db store.DB, i int) error {
	t.Helper()
	return entryWith(t.Context(), db, i)
}

func entryWith(ctx context.Context, db store.DB, i int) error {
	_, err := db.Commit(ctx, store.Batch{
		Writes:  []store.Write{{Key: store.Key{Kind: "task", ID: fmt.Sprintf("%06d", i)}, Expect: store.Absent(), Body: fmt.Appendf(nil, `{"n":%d}`, i), Index: []store.IndexKey{{Name: "state", Value: "s"}}}},
		Appends: []store.Append{{Stream: "events", Body: fmt.Append(nil, i)}},
	})
	return err
}

// whole wants document, index row, counter and entry of the same commits, without a hole, and
// returns how many.
func whole(t *testing.T, db store.DB) int {
	t.Helper()
	e, err := db.Read(t.Context(), "events", 0, store.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	byState := store.Query{Kind: "task", Index: "state", Prefix: "s", Exact: true, Total: true, Limit: store.MaxPage}
	rows, err := db.List(t.Context(), byState)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := db.List(t.Context(), store.Query{Kind: "task", Total: true, Limit: store.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	n := int(e.Head)
	if len(e.Entries) != n || len(rows.Docs) != n || len(docs.Docs) != n || rows.Total != n || docs.Total != n {
		t.Fatalf("head %d with %d entries, %d index rows, %d documents, totals %d and %d", n, len(e.Entries), len(rows.Docs),
			len(docs.Docs), rows.Total, docs.Total)
	}
	for i, x := range e.Entries {
		if x.Seq != uint64(i+1) {
			t.Fatalf("entry %d has sequence %d", i, x.Seq)
		}
	}
	return n
}

// The log of a fresh store with one bit flipped at every 64th byte: the store opens with all that
// was acknowledged, except what the last sync group holds, or it says which file is damaged and
// where. It is D04, reduced to one bit in every 64th byte.
func TestOpen_everyFlippedBitIsNoticed(t *testing.T) {
	t.Parallel()
	const commits = 60
	dir := t.TempDir()
	s, err := Open(dir, storetest.Schema(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	for i := range commits {
		if err := entry(t, s, i); err != nil {
			t.Fatal(err)
		}
	}
	image := t.TempDir() // as a killed process leaves it
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(image, "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	content, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	size := len(strings.TrimRight(string(content), "\x00")) // the rest is preallocated
	refused, short := 0, 0
	step := 64
	if testing.Short() {
		step = 512
	}
	for at := 0; at < size; at += step {
		bent := append([]byte(nil), content...)
		bent[at] ^= 0x10
		bad := t.TempDir()
		if err := os.CopyFS(bad, os.DirFS(image)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bad, filepath.Base(logs[0])), bent, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(bad, storetest.Schema(), quiet)
		if err != nil {
			refused++
			if fault.CodeOf(err) != "store.corrupt" || !strings.Contains(err.Error(), ".log is damaged at offset") {
				t.Errorf("byte %d: refused without file and offset: %v", at, err)
			}
			continue
		}
		switch n := whole(t, s); {
		case n == commits-1:
			short++
		case n != commits:
			t.Errorf("byte %d: %d of %d commits came back without a word", at, n, commits)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed at all")
	}
	t.Logf("%d bytes, %d flips refused, %d read as a torn last commit", size, refused, short)
}

// The machine goes down at any moment, with any part of what was not synced on disk: what was
// acknowledged is there, and commits are whole.
// It is D03, reduced: 300 of 10,000 crash clones.
func TestCommit_survivesCrashes(t *testing.T) {
	t.Parallel()
	r := storetest.Rand(t)
	rounds := 300
	if testing.Short() {
		rounds = 100
	}
	var fs *vfs.MemFS
	var s *Store
	var acknowledged, next atomic.Int64
	for round := range rounds {
		if round%20 == 0 { // what is looked at fits one page
			if s != nil && s.Close() != nil {
				t.Error("close failed")
			}
			fs = vfs.NewCrashableMem()
			s = openOn(t, fs)
			acknowledged.Store(0)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 5 {
					if err := entry(t, s, int(next.Add(1))); err != nil {
						t.Errorf("commit: %v", err)
						return
					}
					acknowledged.Add(1)
				}
			})
		}
		for pause := r.IntN(200); pause > 0; pause-- {
			runtime.Gosched()
		}
		before := int(acknowledged.Load())
		clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
		wg.Wait()
		after := openOn(t, clone)
		if n := whole(t, after); n < before {
			t.Errorf("round %d: %d commits were acknowledged, %d are there after the crash", round, before, n)
		}
		if err := entry(t, after, 999999); err != nil {
			t.Errorf("the first commit after a crash: %v", err)
		}
		if err := after.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

var errDisk = errors.New("the disk is gone")

// A failed sync ends the store: nobody sees what may not be durable, all waiting and later calls
// are unavailable, and the data is fine when the disk is.
// It is D06 as decision 42 has it, reduced to one failing sync: reads go on where the row ends the
// process.
func TestCommit_failedSyncEndsTheStore(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	var broken atomic.Bool
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && strings.HasSuffix(op.Path, ".log") &&
			(op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo) {
			return errDisk
		}
		return nil
	}))
	s := openOn(t, fs)
	for i := range 5 {
		if err := entry(t, s, i); err != nil {
			t.Fatal(err)
		}
	}
	broken.Store(true)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := entry(t, s, 100+i); !fault.Is(err, fault.Unavailable) {
				t.Errorf("commit on a broken disk: %v", err)
			}
		})
	}
	wg.Wait()
	broken.Store(false)
	if err := entry(t, s, 7); !fault.Is(err, fault.Unavailable) {
		t.Errorf("commit afterwards: %v", err)
	}
	if n := whole(t, s); n != 5 { // decision 42: reads go on with what is durable
		t.Errorf("%d commits are shown after the failure, want the 5 acknowledged ones", n)
	}
	if err := s.Close(); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), errDisk.Error()) {
		t.Errorf("close: %v", err)
	}
	again := openOn(t, mem.CrashClone(vfs.CrashCloneCfg{}))
	if n := whole(t, again); n != 5 {
		t.Errorf("%d commits after the failure, want the 5 acknowledged ones", n)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// While a sync hangs readers see the state before it, and a caller whose context ends goes home.
func TestCommit_readersSeeOnlyWhatIsDurable(t *testing.T) {
	t.Parallel()
	var hold atomic.Pointer[chan struct{}]
	held := make(chan struct{}, 1)
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if c := hold.Load(); c != nil && strings.HasSuffix(op.Path, ".log") &&
			(op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			select {
			case held <- struct{}{}:
			default:
			}
			<-*c
		}
		return nil
	}))
	s := openOn(t, fs)
	if err := entry(t, s, 1); err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	hold.Store(&gate)
	done := make(chan error)
	go func() { done <- entry(t, s, 2) }()
	<-held // the committer has it
	for range 100 {
		if n := whole(t, s); n != 1 {
			t.Fatalf("readers see %d commits while the second is not durable", n)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	third := make(chan error)
	go func() { third <- entryWith(ctx, s, 3) }()
	for len(s.requests) == 0 {
		runtime.Gosched()
	}
	cancel()
	if err := <-third; !fault.Is(err, fault.Unavailable) {
		t.Errorf("a caller whose context ended: %v", err)
	}
	hold.Store(nil)
	close(gate)
	if err := <-done; err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if err := entry(t, s, 4); err != nil || whole(t, s) != 4 { // the third was on its way
		t.Errorf("afterwards: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
