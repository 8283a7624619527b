package pebblestore

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/provisioning-platform/platform/shared/store"
)

const (
	diskReserve = 64 << 20               // bytes that stay free for the engine: a table of 32 MiB being flushed, and its log
	diskShare   = 8                      // of a small disk only this part (1/n) stays free
	diskLook    = 100 * time.Millisecond // between two looks at the disk
)

// disk knows whether the disk of a folder has room for a commit. An engine that meets the end of
// its disk gives up, so commits are refused before.
type disk struct {
	dir string
	fs  vfs.FS
	log *slog.Logger

	mu     sync.Mutex // guards what follows
	looked time.Time
	err    error
}

// full returns store.ErrFull when there is no room, as of at most diskLook ago. A disk that cannot
// be asked counts as one with room.
func (d *disk) full() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.looked) < diskLook {
		return d.err
	}
	was := d.err
	d.looked, d.err = time.Now(), nil
	usage, err := d.fs.GetDiskUsage(d.dir)
	if err != nil {
		return nil
	}
	if need := min(diskReserve, usage.TotalBytes/diskShare); usage.AvailBytes < need {
		d.err = store.ErrFull.Because(fmt.Errorf("%s: %d MiB free, at least %d MiB are needed", d.dir, usage.AvailBytes>>20, need>>20))
	}
	switch {
	case was == nil && d.err != nil:
		d.log.Error("store: the disk is full; changes are refused and reads served. Free space, or move the folder to a larger disk",
			"folder", d.dir, "free_bytes", usage.AvailBytes)
	case was != nil && d.err == nil:
		d.log.Warn("store: the disk has room again; changes are taken", "folder", d.dir)
	}
	return d.err
}

// Size returns how many bytes of its disk the store takes, its log included; 0 when it is closed.
func (s *Store) Size() int64 {
	s.open.RLock()
	defer s.open.RUnlock()
	if s.ended {
		return 0
	}
	return int64(s.db.Metrics().DiskSpaceUsage())
}
