package revocation

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Stream is the name of the stream in the control-center's store.
const Stream = "revocations"

// Keep is how long an item matters: no access token lives longer (the verifier's cap).
const Keep = 24 * time.Hour

// expireEvery is how often the image in memory forgets what has expired.
const expireEvery = 10 * time.Minute

// longestPoll bounds how long Feed waits, whatever was asked for. It is below the peer's patience (decision
// 5: 5 s), so that an answer without items doubles as the heartbeat.
const longestPoll = 2 * time.Second

// Log is the stream and its image in memory.
type Log struct {
	DB    *feed.Hub
	State *token.Revocations // what the own verifier asks
	Epoch string             // identity of the stream (bootstrap.Epoch)

	mu    sync.Mutex
	after uint64   // under mu: everything up to here is in State
	start snapshot // under mu: as stored
}

// Append adds items to the stream within a transaction.
func Append(tx *store.Tx, items ...token.Revocation) error {
	for _, it := range items {
		body, err := canonical.Make(it)
		if err != nil {
			return err
		}
		tx.Append(Stream, body)
	}
	return nil
}

// Load brings what still matters of the stream into memory; it is called once, before anything is served.
func (l *Log) Load(ctx context.Context, now time.Time) error {
	row, err := snapshots.Get(ctx, l.DB, snapshotID)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start, l.after = row.Value, row.Value.Start
	for _, it := range l.start.Kept {
		l.State.Apply(it)
	}
	err = l.catchUp(ctx)
	l.State.Expire(now.Unix())
	return err
}

// catchUp applies the rest of the stream. Called with mu held.
func (l *Log) catchUp(ctx context.Context) error {
	for {
		f, err := l.read(ctx, l.after, store.MaxPage)
		if err != nil {
			return err
		}
		for _, it := range f.Items {
			l.State.Apply(it)
		}
		l.after = f.Head
		if len(f.Items) < store.MaxPage {
			return nil
		}
	}
}

// Run applies what was committed although its commit was reported as of unknown outcome; what Update
// applied already is applied again without effect. It also forgets what has expired.
func (l *Log) Run(ctx context.Context) error {
	tick, expire := time.NewTicker(time.Second), time.NewTicker(expireEvery)
	defer tick.Stop()
	defer expire.Stop()
	for {
		wake := l.DB.Wait(Stream)
		l.mu.Lock()
		err := l.catchUp(ctx)
		if err == nil {
			err = l.compact(ctx, time.Now())
		}
		l.mu.Unlock()
		if err != nil { // the store is away: look again with the next tick
			wake = nil
		}
		select {
		case <-wake:
		case <-tick.C:
		case <-expire.C:
			l.State.Expire(time.Now().Unix())
		case <-ctx.Done():
			return nil
		}
	}
}

// Feed answers a long poll: the items above after, at once when there are some, else when one comes or
// after wait without. Another epoch, a place that does not exist, and one below what is kept get the whole
// state; an empty epoch stands for the present one.
func (l *Log) Feed(ctx context.Context, epoch string, after uint64, wait time.Duration) (token.Feed, error) {
	timeout := time.NewTimer(min(wait, longestPoll))
	defer timeout.Stop()
	for {
		wake := l.DB.Wait(Stream)
		f, err := l.read(ctx, after, store.MaxPage)
		if err != nil {
			return f, err
		}
		if epoch != "" && epoch != l.Epoch || f.Head < after || l.compacted(after) {
			return l.reset(ctx)
		}
		if len(f.Items) > 0 {
			return f, nil
		}
		select {
		case <-wake:
		case <-timeout.C:
			return f, nil
		case <-ctx.Done():
			return f, nil
		}
	}
}

// whole returns the state with the place it is complete up to: what was committed a moment ago may not be
// in State yet, and whoever is told its sequence never asks for it again.
func (l *Log) reset(ctx context.Context) (token.Feed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.catchUp(ctx)
	return token.Feed{Epoch: l.Epoch, Head: l.after, Items: l.State.Snapshot(), Reset: true}, err
}

// read returns a page of the stream as a feed; Head is the last sequence handed out, or the stream's
// head when nothing is.
func (l *Log) read(ctx context.Context, after uint64, limit int) (token.Feed, error) {
	page, err := l.DB.Read(ctx, Stream, after, limit)
	f := token.Feed{Epoch: l.Epoch, Head: page.Head, Items: []token.Revocation{}}
	for _, e := range page.Entries {
		var it token.Revocation
		if err := json.Unmarshal(e.Body, &it); err != nil {
			return f, err
		}
		it.Seq = e.Seq
		f.Items, f.Head = append(f.Items, it), e.Seq
	}
	return f, err
}
