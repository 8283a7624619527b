package surrealstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	surrealdb "github.com/surrealdb/surrealdb.go"
	"github.com/surrealdb/surrealdb.go/surrealcbor"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
)

const (
	callTimeout  = 10 * time.Second // of one call; a commit of the largest size takes about two
	redialPause  = time.Second      // at most one dial in this time
	quietFor     = 2 * time.Second  // no reply for so long: ask for a sign of life
	pingTimeout  = 3 * time.Second  // no answer to that: the connection is dead
	minimumMajor = 3
)

// link is the supervised connection: it dials when needed, gives every call a deadline and drops a
// connection at the first error that is not the engine's answer.
type link struct {
	url      *url.URL // ws or wss
	user     string
	password secret.Text
	ns, db   string
	log      *slog.Logger

	ctx context.Context // ends with the store; connections and dials end with it

	mu      sync.Mutex // guards what follows
	cur     *surrealdb.DB
	socket  *socket
	last    time.Time // of the last dial
	attempt *attempt  // the dial under way, if any
}

// query runs a text with bound variables and returns the result of each statement. An error of the
// engine is an *surrealdb.QueryError inside; everything else means that the connection was dropped.
func (l *link) query(ctx context.Context, q text, vars map[string]any) ([]cbor.RawMessage, error) {
	if err := ctx.Err(); err != nil { // a fast reply would win over it, now and then
		return nil, notSent{err}
	}
	db, sock, err := l.connection(ctx)
	if err != nil {
		return nil, notSent{err}
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	results, err := surrealdb.Query[cbor.RawMessage](call, db, string(q), vars)
	var refused *surrealdb.QueryError
	if err != nil && !errors.As(err, &refused) {
		var encode errEncode
		if errors.As(err, &encode) {
			return nil, notSent{err}
		}
		if ctx.Err() == nil { // a caller who gave up says nothing about the connection
			l.drop(sock, err)
		}
		return nil, &lostError{err}
	}
	if err != nil {
		return nil, err
	}
	out := make([]cbor.RawMessage, len(*results))
	for i, r := range *results {
		out[i] = r.Result
	}
	return out, nil
}

// notSent is a call that did not reach the server.
type notSent struct{ error }

// Unwrap returns the cause.
func (e notSent) Unwrap() error { return e.error }

// lostError is a call whose reply did not arrive: whether it had an effect is unknown.
type lostError struct{ error }

// Unwrap returns the cause.
func (e *lostError) Unwrap() error { return e.error }

// attempt is one dial that any number of callers wait for.
type attempt struct {
	done chan struct{}
	err  error // written before done is closed
}

// connection returns the live connection, dialling when there is none. The dial does not belong to
// the caller that asked first: it goes on when that one gives up.
func (l *link) connection(ctx context.Context) (*surrealdb.DB, *socket, error) {
	for {
		if db, sock, err := l.live(); db != nil || err != nil {
			return db, sock, err
		}
		l.mu.Lock()
		a := l.attempt
		if a == nil {
			a = &attempt{done: make(chan struct{})}
			l.attempt = a
			go l.redial(a, time.Until(l.last.Add(redialPause)))
		}
		l.mu.Unlock()
		select {
		case <-a.done:
			if a.err != nil {
				return nil, nil, a.err
			}
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// redial makes one attempt after the given pause.
func (l *link) redial(a *attempt, pause time.Duration) {
	defer close(a.done)
	clock.Pause(l.ctx, pause, nil)
	db, sock, err := l.dial(l.ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.attempt, a.err = time.Now(), nil, err
	if err == nil {
		l.cur, l.socket = db, sock
		sock.endWith(l.ctx)
	}
}

func (l *link) live() (*surrealdb.DB, *socket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return nil, nil, errClosed
	}
	if l.socket != nil {
		select {
		case <-l.socket.gone:
			l.cur, l.socket = nil, nil
		default:
		}
	}
	return l.cur, l.socket, nil
}

// dial connects and greets.
func (l *link) dial(ctx context.Context) (*surrealdb.DB, *socket, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	sock := newSocket(l.url)
	db, err := surrealdb.FromConnection(ctx, sock)
	if err != nil {
		return nil, nil, fmt.Errorf("dial %s: %w", l.url.Host, err)
	}
	if err := l.greet(ctx, db); err != nil {
		_ = sock.Close(ctx)
		return nil, nil, err
	}
	return db, sock, nil
}

// greet checks the version, signs in and selects the database.
func (l *link) greet(ctx context.Context, db *surrealdb.DB) error {
	version, err := db.Version(ctx)
	if err != nil {
		return fmt.Errorf("ask the version of %s: %w", l.url.Host, err)
	}
	if err := checkVersion(version.Version); err != nil {
		return err
	}
	if _, err := db.SignIn(ctx, map[string]any{"user": l.user, "pass": l.password.Reveal()}); err != nil {
		return fault.New(fault.Unavailable, "store.sign_in",
			"SurrealDB at %s refused user %q; check the user in the store URL and the password file", l.url.Host, l.user).Because(err)
	}
	for attempt := 0; ; attempt++ { // the first use makes the database, at which two may meet
		err := db.Use(ctx, l.ns, l.db)
		if err == nil {
			return nil
		}
		if !isConflict(err) || ctx.Err() != nil {
			return fmt.Errorf("use %s/%s: %w", l.ns, l.db, err)
		}
		jitter(ctx, attempt)
	}
}

// checkVersion refuses a server below version 3.
func checkVersion(version string) error {
	text := strings.TrimPrefix(version, "surrealdb-")
	major, err := strconv.Atoi(text[:max(strings.IndexByte(text, '.'), 0)])
	if err != nil || major < minimumMajor {
		return fault.New(fault.Invalid, "store.version",
			"the server is SurrealDB %q; version %d or later is needed: upgrade the server, or use --store embedded:", text, minimumMajor)
	}
	return nil
}

// drop closes a connection that failed; the next call dials.
func (l *link) drop(sock *socket, cause error) {
	l.mu.Lock()
	mine := l.socket == sock
	if mine {
		l.cur, l.socket = nil, nil
	}
	l.mu.Unlock()
	_ = sock.Close(context.Background())
	if mine {
		l.log.Warn("connection to SurrealDB dropped", "host", l.url.Host, "cause", cause.Error())
	}
}

// watch asks a quiet connection for a sign of life, so that one that is dead on the other side is
// noticed within quietFor + a tick + pingTimeout, about six seconds.
func (l *link) watch() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		}
		db, sock, err := l.live()
		if err != nil || db == nil || time.Since(time.Unix(0, sock.heard.Load())) < quietFor {
			continue
		}
		ping, cancel := context.WithTimeout(l.ctx, pingTimeout)
		_, err = surrealdb.Query[any](ping, db, textPing, nil)
		cancel()
		if err != nil && l.ctx.Err() == nil {
			l.drop(sock, fmt.Errorf("no sign of life: %w", err))
		}
	}
}

// decode reads one statement's result.
func decode(raw cbor.RawMessage, into any) error {
	if len(raw) == 0 {
		return nil
	}
	return surrealcbor.Unmarshal(raw, into)
}
