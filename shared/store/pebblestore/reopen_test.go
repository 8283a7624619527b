package pebblestore

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// TestLasting_goesOnWhenThereIsSpaceAgain fills the disk twice: no refused commit is there
// afterwards half, every acknowledged one is, and nobody has to do anything.
func TestLasting_goesOnWhenThereIsSpaceAgain(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	}))
	db, err := openReopening(t.TempDir(), storetest.Schema(), quiet, fs)
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := 0
	for i := range 2 {
		if err := entry(t, db, 10*i); err != nil {
			t.Fatal(err)
		}
		full.Store(true)
		if err := entry(t, db, 10*i+1); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("commit on a full disk: %v", err)
		}
		full.Store(false)
		deadline := time.Now().Add(30 * time.Second)
		for n := 10*i + 2; ; n++ {
			if err = entry(t, db, n); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("nothing is taken 30 s after there is space again: %v", err)
			}
			<-time.After(20 * time.Millisecond)
		}
		acknowledged += 2
	}
	if n := whole(t, db); n < acknowledged {
		t.Errorf("%d entries, %d were acknowledged", n, acknowledged)
	}
	if err := errors.Join(db.Close(), db.Close()); err != nil {
		t.Error(err)
	}
	if err := entry(t, db, 99); !fault.Is(err, fault.Unavailable) {
		t.Errorf("commit after Close: %v", err)
	}
}

// tight is a file system that says how little is free.
type tight struct {
	vfs.FS
	full *atomic.Bool
}

func (fs tight) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	if fs.full.Load() {
		return vfs.DiskUsage{AvailBytes: 1 << 20}, nil
	}
	return fs.FS.GetDiskUsage(path)
}

// TestLasting_survivesADiskThatIsFullButForAFewBlocks leaves room for the beginning of opening anew
// and not for its end, where the engine would hang with the folder locked.
func TestLasting_survivesADiskThatIsFullButForAFewBlocks(t *testing.T) {
	t.Parallel()
	var full, tried atomic.Bool
	var left atomic.Int64
	fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate) && left.Add(-1) < 0 {
			return syscall.ENOSPC
		}
		if full.Load() && op.Kind == errorfs.OpList {
			tried.Store(true)
		}
		return nil
	}))
	db, err := openReopening(t.TempDir(), storetest.Schema(), quiet, tight{fs, &full})
	if err != nil {
		t.Fatal(err)
	}
	if err := entry(t, db, 1); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	if err := entry(t, db, 2); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("commit on a full disk: %v", err)
	}
	left.Store(3)
	patience := time.After(60 * time.Second)
	for n := 3; ; n++ {
		if err = entry(t, db, n); err == nil {
			break
		}
		if tried.Load() { // it has looked at the full disk once
			full.Store(false)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-patience:
			t.Fatalf("nothing is taken though there is space again: %v", err)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestLasting_closesOnAFullDiskThatItHasNotMetYet has something to write when it is closed, and
// nowhere to.
func TestLasting_closesOnAFullDiskThatItHasNotMetYet(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	}))
	dir := t.TempDir()
	db, err := openReopening(dir, storetest.Schema(), quiet, tight{fs, &full})
	if err != nil {
		t.Fatal(err)
	}
	if err := entry(t, db, 1); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	select {
	case <-closed: // the engine may complain that it could not write its last words
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
	again, err := openReopening(dir, storetest.Schema(), quiet, vfs.Default)
	if err != nil {
		t.Fatal(err)
	}
	if n := whole(t, again); n != 1 {
		t.Errorf("%d entries, 1 was acknowledged", n)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestLasting_closesWhileTheDiskIsFull ends the wait for space.
func TestLasting_closesWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	fs := vfs.Default
	db, err := openReopening(t.TempDir(), storetest.Schema(), quiet, fs)
	if err != nil {
		t.Fatal(err)
	}
	db.(*reopener).now.Load().fail(syscall.ENOSPC)
	if err := entry(t, db, 1); !fault.Is(err, fault.Unavailable) {
		t.Errorf("commit on a store that gave up: %v", err)
	}
	if err := db.Close(); err != nil && !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

// TestLasting_readsGoOnWhileTheDiskIsFull is decision 42: with a disk that has little room changes
// are refused before the engine meets its end; one whose engine met it anyway still shows what was
// stored. Both take changes again by themselves.
func TestLasting_readsGoOnWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	for name, met := range map[string]bool{"refused before": false, "met by the engine": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var full, little atomic.Bool
			fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if full.Load() && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate) {
					return syscall.ENOSPC
				}
				return nil
			}))
			db, err := openReopening(t.TempDir(), storetest.Schema(), quiet, scarce{fs, &little})
			if err != nil {
				t.Fatal(err)
			}
			if err := entry(t, db, 1); err != nil {
				t.Fatal(err)
			}
			await(t, func() bool { // the disk is looked at now and then
				little.Store(!met)
				full.Store(met)
				return fault.CodeOf(entry(t, db, 2)) == "store.full"
			})
			if met {
				little.Store(true) // no room to open anew either
			}
			for range 100 {
				if n := whole(t, db); n < 1 {
					t.Fatal("the stored entry is not shown")
				}
				if err := entry(t, db, 3); fault.CodeOf(err) != "store.full" {
					t.Fatalf("a commit on a full disk: %v", err)
				}
			}
			if err := db.(*reopener).Refused(); fault.CodeOf(err) != "store.full" {
				t.Errorf("the state is %v", err)
			}
			full.Store(false)
			little.Store(false)
			await(t, func() bool { return entry(t, db, 4) == nil })
			if err := db.(*reopener).Refused(); err != nil {
				t.Errorf("with room again: %v", err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLasting_aStartOnAFullDiskSaysSoAndEnds opens a folder on a disk without room. The engine gave
// up half way and its Open never came back: no listener, no end on SIGTERM, no recovery when there
// was room again, or 900 log lines a second.
func TestLasting_aStartOnAFullDiskSaysSoAndEnds(t *testing.T) {
	t.Parallel()
	var full, little atomic.Bool
	fs := scarce{errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	})), &little}
	dir := t.TempDir()
	db, err := openReopening(dir, storetest.Schema(), quiet, fs)
	if err != nil {
		t.Fatal(err)
	}
	if err := entry(t, db, 1); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	little.Store(true)
	opened := make(chan error, 1)
	go func() {
		_, err := openReopening(dir, storetest.Schema(), quiet, fs)
		opened <- err
	}()
	select {
	case err := <-opened:
		if fault.CodeOf(err) != "store.full" || !strings.Contains(err.Error(), dir) {
			t.Errorf("a start on a full disk: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the start neither ends nor says why")
	}
	full.Store(false)
	little.Store(false)
	again, err := openReopening(dir, storetest.Schema(), quiet, fs)
	if err != nil {
		t.Fatal(err)
	}
	if n := whole(t, again); n != 1 {
		t.Errorf("%d entries, 1 was acknowledged", n)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// await polls until ok, at most 30 s.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatal("after 30 s still not so")
		}
	}
}

// scarce is a file system on a large disk with little room.
type scarce struct {
	vfs.FS
	little *atomic.Bool
}

func (fs scarce) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	if fs.little.Load() {
		return vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 30}, nil
	}
	return fs.FS.GetDiskUsage(path)
}
