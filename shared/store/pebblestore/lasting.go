package pebblestore

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/provisioning-platform/platform/shared/store"
)

// reopenPause is the time between two attempts to open a store anew.
const reopenPause = time.Second

// lasting is a store that outlives its engine. An engine that cannot write its log (no space, a failed sync) gives up
// for good, because what is on disk is not known any more; reading the folder again is how to know it. Until
// that works every call is Unavailable, and a commit that was under way has an unknown outcome, as over a network.
type lasting struct {
	now     atomic.Pointer[Store]
	open    func() (*Store, error)
	log     *slog.Logger
	closing chan struct{}
	ended   chan struct{}
}

// OpenLasting opens the store in dir like Open and opens it anew whenever its engine gives up.
func OpenLasting(dir string, schema store.Schema, log *slog.Logger) (store.DB, error) {
	return openLasting(dir, schema, log, vfs.Default)
}

func openLasting(dir string, schema store.Schema, log *slog.Logger, fs vfs.FS) (store.DB, error) {
	l := &lasting{log: log, closing: make(chan struct{}), ended: make(chan struct{}),
		open: func() (*Store, error) { return open(dir, schema, log, fs) }}
	s, err := l.open()
	if err != nil {
		return nil, err
	}
	l.now.Store(s)
	go l.watch(s)
	return l, nil
}

// watch replaces engines that gave up until the store is closed.
func (l *lasting) watch(s *Store) {
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

// replace closes a dead store and opens the folder again; nil when the store was closed meanwhile.
func (l *lasting) replace(dead *Store) *Store {
	_ = dead.Close()
	for {
		select {
		case <-time.After(reopenPause):
		case <-l.closing:
			return nil
		}
		s, err := l.open()
		if err == nil {
			l.now.Store(s)
			l.log.Warn("store: opened anew; changes are taken again")
			return s
		}
		l.log.Error("store: cannot be opened anew; trying again", "error", err)
	}
}

// Get implements store.DB.
func (l *lasting) Get(ctx context.Context, k store.Key) (store.Doc, error) {
	return l.now.Load().Get(ctx, k)
}

// List implements store.DB.
func (l *lasting) List(ctx context.Context, q store.Query) (store.Page, error) {
	return l.now.Load().List(ctx, q)
}

// Commit implements store.DB.
func (l *lasting) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	return l.now.Load().Commit(ctx, b)
}

// Read implements store.DB.
func (l *lasting) Read(ctx context.Context, stream string, after uint64, limit int) (store.Entries, error) {
	return l.now.Load().Read(ctx, stream, after, limit)
}

// Close implements store.DB.
func (l *lasting) Close() error {
	select {
	case <-l.closing:
		return nil
	default:
		close(l.closing)
	}
	<-l.ended
	return l.now.Load().Close()
}
