package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/pebblestore/known"
)

// closeWait bounds how long Close waits for an engine that has failed before.
const closeWait = 5 * time.Second

// Store is a store.DB in a folder.
type Store struct {
	schema   store.Schema
	log      *slog.Logger
	db       *pebble.DB
	lock     io.Closer    // of the folder
	room     func() error // why the engine's logs cannot be written as tables now; nil when they can
	readOnly bool

	requests chan *pendingCommit // to the committer
	closing  chan struct{}       // closed by Close: the committer ends after its group
	stopped  chan struct{}       // closed when the committer has ended
	tidying  sync.WaitGroup
	dead     chan struct{} // closed by fail: the engine has given up

	view    atomic.Pointer[view] // what readers see; replaced by the committer
	number  uint64               // last commit number; of the committer
	known   *known.Lookup        // what the committer knows without a question to the engine
	keyRoom []byte               // of the committer: the key of the row being written
	docRoom []byte               // of the committer: the document being written
	same    []*store.Final       // of the committer: the documents of one kind in a group
	batches []store.Batch        // of the committer: a group
	spent   store.Judgement      // of the committer: the last one
	batch   *pebble.Batch        // of the committer: what a group does to the engine
	parcels sync.Pool            // of *batchBuffer
	waste   deletions            // what compact is to free
	freeing sync.Mutex           // held by free

	open    sync.RWMutex // held for reading by every read, for writing by Close
	ended   bool         // guarded by open
	once    sync.Once    // of Close
	failing sync.Once    // of fail
	cause   error        // why the engine gave up; set before dead is closed
}

// Open opens the store in dir and creates it when it is new. The engine locks the folder: a second
// process is refused at once.
func Open(dir string, schema store.Schema, log *slog.Logger) (*Store, error) {
	return open(dir, schema, log, vfs.Default)
}

// open is Open on any file system, for crash tests.
func open(dir string, schema store.Schema, log *slog.Logger, fs vfs.FS) (_ *Store, err error) {
	s, err := newStore(schema, log)
	if err != nil {
		return nil, err
	}
	s.room = func() error { return room(dir, fs) }
	defer s.recoverInto(&err)
	if s.db, err = s.openEngine(dir, fs); err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, s.db.Close(), s.lock.Close())
	}
	s.tidying.Go(s.compact)
	go s.run()
	return s, nil
}

// OpenReadOnly opens the store in dir to look at it: nothing is written, repaired or cleaned up,
// and every Commit is refused.
func OpenReadOnly(dir string, schema store.Schema) (_ *Store, err error) {
	s, err := newStore(schema, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer s.recoverInto(&err)
	s.readOnly = true
	o := s.options(vfs.Default)
	o.ReadOnly = true
	if s.db, err = s.openChecked(dir, o); err != nil {
		return nil, err
	}
	close(s.stopped)
	if err := s.start(); err != nil {
		return nil, errors.Join(err, s.db.Close(), s.lock.Close())
	}
	return s, nil
}

func newStore(schema store.Schema, log *slog.Logger) (*Store, error) {
	if err := schema.Check(); err != nil {
		return nil, err
	}
	s := &Store{
		schema:   schema,
		log:      log,
		requests: make(chan *pendingCommit, maxGroup),
		closing:  make(chan struct{}),
		stopped:  make(chan struct{}),
		dead:     make(chan struct{}),
	}
	s.known = known.New(lookupEngine{s}, schema)
	return s, nil
}

// recoverInto turns the panic of an engine that gave up while it was opened into a fault.
func (s *Store) recoverInto(err *error) {
	if r := recover(); r != nil {
		*err = store.ErrUnavailable.Because(fmt.Errorf("open store: %v", r))
	}
}

// start reads what the committer keeps in memory and shows the first view.
func (s *Store) start() error {
	stored, err := s.value(formatKey)
	if err != nil {
		return err
	}
	switch {
	case stored == nil && s.readOnly:
		return fault.New(fault.Unavailable, "store.open", "there is no store in this folder")
	case stored == nil:
		err = s.db.Set(formatKey, []byte(store.Format), pebble.Sync)
	default:
		err = store.CheckFormat(string(stored))
	}
	if err != nil {
		return err
	}
	last, err := s.value(numberKey)
	if err != nil {
		return err
	}
	s.number = number(last)
	if !s.readOnly {
		if err := s.recount(); err != nil {
			return err
		}
		s.batch = s.db.NewBatch(pebble.WithMaxRetainedSizeBytes(maxBatch))
	}
	lows, err := s.lows()
	if err != nil {
		return err
	}
	heads, err := s.heads(lows)
	if err != nil {
		return err
	}
	s.view.Store(newView(s.db.NewSnapshot(), s.number, heads, lows, nil))
	return nil
}

// value returns a copy of the value of a key as the committer sees it; nil when there is none.
func (s *Store) value(k []byte) ([]byte, error) {
	v, closer, err := s.db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, engineFault(err)
	}
	out := append([]byte{}, v...)
	return out, closer.Close()
}

// lows reads the last trimmed sequences of all streams that were trimmed.
func (s *Store) lows() (map[string]uint64, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{lowKey}, UpperBound: []byte{lowKey + 1}})
	if err != nil {
		return nil, engineFault(err)
	}
	lows := map[string]uint64{}
	for ok := it.First(); ok; ok = it.Next() {
		lows[string(it.Key()[1:])] = number(it.Value())
	}
	if err := it.Close(); err != nil {
		return nil, engineFault(err)
	}
	return lows, nil
}

// heads finds the last sequence of every stream, with two seeks a stream. One that was trimmed to
// its head has no entry.
func (s *Store) heads(lows map[string]uint64) (map[string]uint64, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{entryKey}, UpperBound: []byte{entryKey + 1}})
	if err != nil {
		return nil, engineFault(err)
	}
	heads := maps.Clone(lows)
	for ok := it.First(); ok; {
		k := it.Key()
		if len(k) < 10 {
			return nil, errors.Join(engineFault(errValue), it.Close())
		}
		stream := string(k[1 : len(k)-9])
		end := after(key(entryKey, stream, ""))
		if it.SeekLT(end) {
			heads[stream] = binary.BigEndian.Uint64(it.Key()[len(it.Key())-8:])
		}
		ok = it.SeekGE(end)
	}
	if err := it.Close(); err != nil {
		return nil, engineFault(err)
	}
	return heads, nil
}

// fail ends the store: everybody who waits and whoever comes later is answered Unavailable.
func (s *Store) fail(cause error) {
	s.failing.Do(func() {
		s.cause = cause
		close(s.dead)
		s.log.Error("store: the engine gave up; this store writes nothing until it is opened anew", "error", cause)
	})
}

// gaveUp is the fault of a commit on an engine that gave up; call it when dead is closed. The
// outcome of one that was under way is unknown.
func (s *Store) gaveUp() error {
	if strings.Contains(fmt.Sprint(s.cause), syscall.ENOSPC.Error()) { // the engine hands on the text only
		return store.ErrFull.Because(s.cause)
	}
	return store.ErrUnavailable.Because(s.cause)
}

// Close implements store.DB: it lets the running group finish, flushes and closes the engine.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() { err = s.close() })
	return err
}

func (s *Store) close() error {
	close(s.closing)
	select {
	case <-s.stopped:
	case <-s.dead:
	}
	s.open.Lock()
	s.ended = true
	s.open.Unlock()

	done := make(chan error, 1)
	go func() { done <- s.closeEngine() }()
	select {
	case <-s.dead: // it may hang where it gave up
		select {
		case <-done:
		case <-time.After(closeWait):
		}
		return store.ErrUnavailable.Because(s.cause)
	case err := <-done:
		return err
	}
}

func (s *Store) closeEngine() (err error) {
	defer s.recoverInto(&err)
	s.tidying.Wait()
	s.view.Load().release()
	select {
	case <-s.dead:
	default:
		if !s.readOnly && s.room() == nil { // without room it would try for ever; the next start reads the logs
			err = s.db.Flush()
		}
	}
	if err = errors.Join(err, s.db.Close(), s.lock.Close()); err != nil {
		return engineFault(err)
	}
	return nil
}
