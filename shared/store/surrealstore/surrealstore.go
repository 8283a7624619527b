package surrealstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	surrealdb "github.com/surrealdb/surrealdb.go"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
)

// SyncEvery is the only sync mode that is accepted: every commit is on disk before it is
// acknowledged.
const SyncEvery = "every"

// Options say which store to open. All but Log are needed.
type Options struct {
	URL      *url.URL // surrealdb://user@host:port/namespace/database; surrealdbs:// with TLS; no password
	Password secret.Text
	Sync     string // what the operator states of the server; only SyncEvery is accepted
	Schema   store.Schema
	Log      *slog.Logger
	Owner    *Owner // who becomes the only writer; nil takes no lease
}

// Store is a store.DB in a SurrealDB database.
type Store struct {
	schema store.Schema
	texts  *queryTexts
	link   *link
	log    *slog.Logger

	ctx   context.Context // ends with Close; nothing outlives it
	stop  context.CancelFunc
	tasks sync.WaitGroup
	queue chan *pendingCommit // to the committer

	ground revisionCache // owned by the committer

	epoch    uint64        // of the lease this store took; 0 without an owner
	held     lease         // owned by Run, and by Open before it
	lost     chan struct{} // closed when somebody else took the lease
	loseOnce sync.Once
}

var _ store.DB = (*Store)(nil)

// Open connects, checks the server's version, defines the tables of the schema and starts the
// committer. It refuses a server that is older than version 3 and a sync mode that is not stated.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := Check(o); err != nil {
		return nil, err
	}
	texts, err := newTexts(o.Schema)
	if err != nil {
		return nil, err
	}
	link, err := newLink(o)
	if err != nil {
		return nil, err
	}
	s := &Store{schema: o.Schema, texts: texts, link: link, log: link.log, queue: make(chan *pendingCommit), ground: newRevisionCache(),
		lost: make(chan struct{})}
	s.ctx, s.stop = context.WithCancel(context.Background())
	link.ctx = s.ctx
	err = s.define(ctx)
	if err == nil {
		err = s.checkFormat(ctx)
	}
	if err == nil && o.Owner != nil {
		err = s.acquire(ctx, *o.Owner)
		s.epoch = s.held.Epoch
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	s.tasks.Go(link.watch)
	s.tasks.Go(s.commitAll)
	s.tasks.Go(s.sweep)
	return s, nil
}

// newLink reads the URL.
func newLink(o Options) (*link, error) {
	bad := func(why string) error {
		return fault.New(fault.Invalid, "store.url", "the store URL %s; want surrealdb://user@host:port/namespace/database", why)
	}
	if o.URL == nil {
		return nil, bad("is missing")
	}
	if _, given := o.URL.User.Password(); given {
		return nil, bad("holds a password, which everybody on the machine could read: give it by file")
	}
	path := strings.Split(strings.TrimPrefix(o.URL.Path, "/"), "/")
	if o.URL.Host == "" || o.URL.User.Username() == "" || len(path) != 2 || path[0] == "" || path[1] == "" {
		return nil, bad("lacks user, host, namespace or database")
	}
	scheme := map[string]string{"surrealdb": "ws", "surrealdbs": "wss"}[o.URL.Scheme]
	if scheme == "" {
		return nil, bad("has an unknown scheme")
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &link{
		url: &url.URL{Scheme: scheme, Host: o.URL.Host}, user: o.URL.User.Username(), password: o.Password,
		ns: path[0], db: path[1], log: log,
	}, nil
}

// Check says what Open would refuse of the options, without connecting: an Invalid fault.
func Check(o Options) error {
	if o.Sync != SyncEvery {
		return syncFault(o.Sync)
	}
	_, err := newLink(o)
	return err
}

func syncFault(stated string) error {
	return fault.New(fault.Invalid, "store.sync",
		"[store] sync = %q: state sync = \"every\". The server decides by SURREAL_DATASTORE_SYNC_DATA "+
			"(or ?sync= in its path) whether a commit is on disk before it is acknowledged, "+
			"and cannot be asked for it over the wire; with "+
			"any other mode "+
			"a power cut loses acknowledged changes. Set SURREAL_DATASTORE_SYNC_DATA=every where the server runs, "+
			"then state it here", stated)
}

// define creates what is missing of namespace, database and tables. Several services may do so at
// the same moment.
func (s *Store) define(ctx context.Context) error {
	for _, q := range s.texts.define {
		for attempt := 0; ; attempt++ {
			_, err := s.link.query(ctx, q, nil)
			if err == nil {
				break
			}
			if !isRetryable(err) || attempt == 20 {
				return s.away("define tables", err)
			}
			jitter(ctx, attempt)
		}
	}
	return nil
}

// checkFormat refuses a database of another format.
func (s *Store) checkFormat(ctx context.Context) error {
	h, err := s.readHead(ctx)
	if err != nil {
		return s.away("read the head", err)
	}
	if h.N == 0 {
		return nil // a new one
	}
	return store.CheckFormat(h.F)
}

// Close ends the store. A commit that waits is answered Unavailable.
func (s *Store) Close() error {
	s.stop()
	s.tasks.Wait()
	return nil
}

// sweep removes what is settled: the records of calls long since, and entries of streams that
// were trimmed.
func (s *Store) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		before := time.Now().Add(-keepCalls).Unix()
		_, err := s.link.query(s.ctx, s.texts.sweep, map[string]any{"before": before})
		if err = errors.Join(err, s.removeTrimmed()); err != nil && s.ctx.Err() == nil {
			s.log.Debug("call records and trimmed entries not swept", "cause", err.Error())
		}
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// trimSlice is how many trimmed entries one query removes.
const trimSlice = 2000

// removeTrimmed removes the entries that nobody is shown any more. A commit only moves the low
// end of a stream, for to remove a million entries in one transaction would hold up every other.
func (s *Store) removeTrimmed() error {
	results, err := s.link.query(s.ctx, s.texts.untidy, nil)
	if err != nil {
		return err
	}
	var streams struct {
		Lows    map[string]uint64 `json:"l"`
		Trimmed map[string]uint64 `json:"t"`
	}
	if err := decode(results[len(results)-1], &streams); err != nil {
		return err
	}
	for name, low := range streams.Lows {
		for done := streams.Trimmed[name]; done < low; {
			to := min(done+trimSlice, low)
			vars := map[string]any{"s": name, "from": done + 1, "to": to, "done": map[string]uint64{name: to}}
			if _, err := s.link.query(s.ctx, s.texts.trim, vars); err != nil {
				return err
			}
			done = to
		}
	}
	return nil
}

// away turns an error of the engine or the connection into the fault that callers see.
func (s *Store) away(op string, err error) error {
	if f := fault.Of(err); f != nil {
		return f
	}
	return store.ErrUnavailable.Because(fmt.Errorf("%s: %w", op, err))
}

// isRetryable says whether the engine refused a transaction only because another one was faster.
func isRetryable(err error) bool {
	var refused *surrealdb.QueryError
	return errors.As(err, &refused) && isConflict(err)
}

// isConflict knows the one thing that the texts of all the engine's stores have in common.
func isConflict(err error) bool {
	return strings.Contains(err.Error(), "This transaction can be retried")
}

// jitter waits a little, more with every attempt.
func jitter(ctx context.Context, attempt int) {
	clock.Pause(ctx, rand.N(time.Millisecond<<min(attempt+1, 7)), nil)
}
