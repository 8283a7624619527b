package pebblestore

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

const (
	reopenPause = time.Second // between two attempts to open a store anew
	reopenRoom  = 16 << 20    // bytes that must be free for one, besides those of the logs
)

// reopener is a store that outlives its engine. An engine that cannot write its log (no space, a
// failed sync) gives up for good, because what is on disk is not known any more; reading the folder
// again is how to know it. Until there is room for that the old engine serves reads, changes are
// refused, and a commit that was under way has an unknown outcome, as over a network. Before it
// comes so far a disk without room refuses changes.
type reopener struct {
	now     atomic.Pointer[Store]
	open    func() (*Store, error)
	room    func() error // why the folder cannot be opened anew now; nil when it can
	disk    *disk
	log     *slog.Logger
	once    sync.Once     // of closing
	closing chan struct{} // closed by Close
	ended   chan struct{} // closed when watch has ended
}

// OpenReopening opens the store in dir like Open and opens it anew whenever its engine gives up.
func OpenReopening(dir string, schema store.Schema, log *slog.Logger) (store.DB, error) {
	return openReopening(dir, schema, log, vfs.Default)
}

func openReopening(dir string, schema store.Schema, log *slog.Logger, fs vfs.FS) (store.DB, error) {
	l := &reopener{
		log: log, closing: make(chan struct{}), ended: make(chan struct{}), disk: &disk{dir: dir, fs: fs, log: log},
		open: func() (*Store, error) { return open(dir, schema, log, fs) },
		room: func() error { return room(dir, fs) },
	}
	s, err := open(dir, schema, log, fs)
	if err != nil {
		return nil, err
	}
	l.now.Store(s)
	go l.watch(s)
	return l, nil
}

// watch replaces engines that gave up until the store is closed.
func (l *reopener) watch(s *Store) {
	defer close(l.ended)
	for s != nil {
		select {
		case <-s.dead:
			s = l.replace(s)
		case <-l.closing:
			return
		}
	}
}

// room says whether the folder can be opened, and store.full when it cannot: the engine writes its
// logs once more, as tables. One that runs out of space half way hangs or panics where nobody can
// recover it (tried), so it is not let near.
func room(dir string, fs vfs.FS) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	need := uint64(reopenRoom)
	for _, name := range names {
		if info, err := fs.Stat(fs.PathJoin(dir, name)); err == nil && strings.HasSuffix(name, ".log") {
			need += uint64(info.Size())
		}
	}
	if usage, err := fs.GetDiskUsage(dir); err == nil && usage.AvailBytes < need {
		return fault.New(fault.Unavailable, "store.full",
			"the disk of %s is full: %d MiB are free, and at least %d MiB are needed to open the store; free space and try again", dir,
			usage.AvailBytes>>20, need>>20)
	}
	return nil
}

// replace closes a dead store, which serves reads as long as there is no room, and opens the folder
// again; nil when the store was closed meanwhile.
func (l *reopener) replace(dead *Store) *Store {
	for {
		select {
		case <-time.After(reopenPause):
		case <-l.closing:
			return nil
		}
		if err := l.room(); err != nil {
			l.log.Error("store: cannot be opened anew; trying again", "error", err)
			continue
		}
		_ = dead.Close() // a second time it does nothing
		var s *Store
		opened := make(chan error, 1)
		go func() {
			var err error
			s, err = l.open()
			opened <- err
		}()
		select {
		case err := <-opened:
			if err == nil {
				l.now.Store(s)
				l.log.Warn("store: opened anew; changes are taken again")
				return s
			}
			l.log.Error("store: cannot be opened anew; trying again", "error", err)
		case <-l.closing: // an engine that gives up while it is opened may never come back
			return nil
		}
	}
}

// Get implements store.DB.
func (l *reopener) Get(ctx context.Context, k store.Key) (store.Doc, error) {
	return l.now.Load().Get(ctx, k)
}

// List implements store.DB.
func (l *reopener) List(ctx context.Context, q store.Query) (store.Page, error) {
	return l.now.Load().List(ctx, q)
}

// Commit implements store.DB.
func (l *reopener) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	if err := l.disk.full(); err != nil {
		return store.Receipt{}, err
	}
	return l.now.Load().Commit(ctx, b)
}

// Read implements store.DB.
func (l *reopener) Read(ctx context.Context, stream string, after uint64, limit int) (store.Entries, error) {
	return l.now.Load().Read(ctx, stream, after, limit)
}

// Close implements store.DB.
func (l *reopener) Close() error {
	l.once.Do(func() { close(l.closing) })
	<-l.ended
	return l.now.Load().Close()
}

// Refused returns why changes are refused now, or nil.
func (l *reopener) Refused() error {
	if err := l.disk.full(); err != nil {
		return err
	}
	s := l.now.Load()
	select {
	case <-s.dead:
		return s.gaveUp()
	default:
		return nil
	}
}

// Size returns how many bytes of its disk the store takes, its log included.
func (l *reopener) Size() int64 { return l.now.Load().Size() }
