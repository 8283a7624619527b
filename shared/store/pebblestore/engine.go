package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// Settings of the engine, measured (decision 36 and ADR 3); its defaults halve the rate.
const (
	memTable     = 16 << 20
	blockCache   = 16<<20 + 2*memTable // two mem tables count against it
	logSyncBytes = 1 << 20
	blockBytes   = 32 << 10 // of a table: one write each; the default is 4 KiB
	bloomBits    = 10
	mergeLayers  = 16 // flushed tables on top of each other before they are merged; the default, 4, merges all at once again
)

// options returns the engine's options. The newest format includes FormatWALSyncChunks, without
// which one flipped bit in a log silently drops the commits behind it (decision 12).
func (s *Store) options(fs vfs.FS) *pebble.Options {
	o := &pebble.Options{
		FS:                 fs,
		FormatMajorVersion: pebble.FormatNewest,
		MemTableSize:       memTable,
		CacheSize:          blockCache,
		WALBytesPerSync:    logSyncBytes,

		L0CompactionThreshold: mergeLayers,
		L0StopWritesThreshold: 3 * mergeLayers,
		// With the default of 2 writes stall whenever a table fills before the one before it is
		// flushed.
		MemTableStopWritesThreshold: 4,
		Logger:                      engineLog{s},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.log.Error("store: background work failed", "error", err) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				s.log.Error("store: a file is damaged", "file", info.Path, "error", info.Details)
			},
			WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
				s.log.Warn("store: writes wait for the disk", "reason", info.Reason)
			},
		},
	}
	o.TargetFileSizes[0] = memTable / 2
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockBytes
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	// What was just flushed is soon read again and then merged: compressing it is not worth the
	// time.
	o.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	return o
}

// openEngine opens the folder, creating it when it is new. A new store is created, closed and
// opened again: its very first log would be written in the old format.
func (s *Store) openEngine(dir string, fs vfs.FS) (*pebble.DB, error) {
	if err := room(dir, fs); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, openFault(dir, err)
	}
	// An error means that there is no folder yet; Open says what else may be wrong.
	if desc, err := pebble.Peek(dir, fs); err != nil || !desc.Exists {
		db, err := pebble.Open(dir, s.options(fs))
		if err != nil {
			return nil, openFault(dir, err)
		}
		if err := db.Close(); err != nil {
			return nil, openFault(dir, err)
		}
	}
	return s.openChecked(dir, s.options(fs))
}

// openChecked locks the folder, looks through its logs and opens it.
func (s *Store) openChecked(dir string, o *pebble.Options) (db *pebble.DB, err error) {
	if o.Lock, err = pebble.LockDirectory(dir, o.FS); err != nil {
		return nil, openFault(dir, err)
	}
	s.lock = o.Lock
	if err = checkLogs(o.FS, dir); err == nil {
		db, err = pebble.Open(dir, o)
	}
	if err != nil {
		return nil, errors.Join(openFault(dir, err), s.lock.Close())
	}
	return db, nil
}

// openFault says what to do about a folder that cannot be opened.
func openFault(dir string, err error) error {
	cause := fmt.Errorf("open store %s: %w%s", dir, err, details(err))
	text := err.Error()
	switch {
	case fault.Of(err) != nil:
		return err
	case pebble.IsCorruptionError(err):
		return errCorrupt.Because(cause)
	case strings.Contains(text, "lock held by current process"), strings.Contains(text, "resource temporarily unavailable"):
		return fault.New(fault.Conflict, "store.locked",
			"the store is open in another process; stop that process, or give this one another data folder or a copy").Because(cause)
	}
	return fault.New(fault.Unavailable, "store.open",
		"the store cannot be opened; check that the data folder exists, is writable and has free space").Because(cause)
}

var errCorrupt = fault.New(fault.Unavailable, "store.corrupt",
	"a file of the store is damaged and nothing was changed; put a backup of the data folder back and check it with `audit verify`; the "+
		"service then names `audit recover`, the way on from a backup")

// engineFault turns an error of a running engine into a fault.
func engineFault(err error) error {
	if pebble.IsCorruptionError(err) || errors.Is(err, errValue) {
		return errCorrupt.Because(fmt.Errorf("%w%s", err, details(err)))
	}
	return store.ErrUnavailable.Because(err)
}

// details collects what the engine attaches to an error without printing it: file and offset of
// a damaged log.
func details(err error) string {
	var b strings.Builder
	for ; err != nil; err = errors.Unwrap(err) {
		if d, ok := err.(interface{ ErrorDetail() string }); ok {
			b.WriteString(" (" + d.ErrorDetail() + ")")
		}
	}
	return b.String()
}

// engineLog is the engine's logger. Its Fatalf is how the engine gives up.
type engineLog struct{ s *Store }

func (l engineLog) Infof(format string, args ...any) {
	if l.s.log.Enabled(context.Background(), slog.LevelDebug) {
		l.s.log.Debug("store engine: " + fmt.Sprintf(format, args...))
	}
}

func (l engineLog) Errorf(format string, args ...any) {
	l.s.log.Error("store engine: " + fmt.Sprintf(format, args...))
}

// Fatalf ends the store, never the process. The engine counts on it not to return: a goroutine of
// ours is unwound by a panic that we recover; one of the engine's own is ended.
func (l engineLog) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.s.fail(err)
	if ours() {
		panic(err)
	}
	runtime.Goexit()
}

// ours says whether the running goroutine came through this package.
func ours() bool {
	var pcs [128]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		frame, more := frames.Next()
		if strings.Contains(frame.Function, "/store/pebblestore.") {
			return true
		}
		if !more {
			return false
		}
	}
}
