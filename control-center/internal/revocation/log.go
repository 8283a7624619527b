package revocation

import (
	"context"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Stream is the name of the stream in the control-center's store.
const Stream = "revocations"

// Keep is how long an item matters: 24 h, for token.Verifier accepts no access token with a longer
// life.
const Keep = 24 * time.Hour

// expireEvery is how often Run takes items that have expired out of State.
const expireEvery = 10 * time.Minute

// LongestPoll bounds how long a long poll of the orchestrator waits, whatever it asks for. The
// orchestrator refuses changes after 5 s of silence (decision 5), so an answer without items is its
// heartbeat.
const LongestPoll = 2 * time.Second

// Log is the stream and its image in memory. It is built as a literal; Load comes before anything
// is served.
type Log struct {
	DB    *feed.Hub
	State *token.Revocations // what the control-center's own verifier asks
	Epoch string             // identity of the stream (bootstrap.Epoch)

	mu    sync.Mutex
	after uint64   // under mu: State has everything up to this sequence
	start snapshot // under mu: as it is stored
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

// Load brings what still matters of the stream into State. It is called once, before anything is
// served.
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

// catchUp applies the rest of the stream to State. mu is held.
func (l *Log) catchUp(ctx context.Context) error {
	for {
		page, err := l.DB.Read(ctx, Stream, l.after, store.MaxPage)
		if err != nil {
			return err
		}
		items, last, err := revocations(page)
		if err != nil {
			return err
		}
		for _, it := range items {
			l.State.Apply(it)
		}
		l.after = last
		if len(items) < store.MaxPage {
			return nil
		}
	}
}

// Run applies revocations whose commit had an unknown outcome, which change.Committer leaves out of
// State; to apply an item twice has no effect. It also takes expired items out of State and
// compacts the stream. It returns nil when ctx ends.
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
		if err != nil { // The store is away, and the next tick looks again.
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

// Feed answers a long poll: the items above after, at once when there are some, else when one comes
// or, without any, when wait is over. It answers with the whole state at once when after is no
// place in this stream, when it lies below what is kept, and when epoch is neither empty nor the
// present one.
func (l *Log) Feed(ctx context.Context, epoch string, after uint64, wait time.Duration) (token.Feed, error) {
	if epoch != "" && epoch != l.Epoch || l.compacted(after) {
		return l.reset(ctx)
	}
	page, err := l.DB.Poll(ctx, Stream, after, store.MaxPage, min(wait, LongestPoll))
	if err != nil {
		return token.Feed{}, err
	}
	if page.Head < after || l.compacted(after) { // Run may have compacted the stream during the poll.
		return l.reset(ctx)
	}
	items, head, err := revocations(page)
	return token.Feed{Epoch: l.Epoch, Head: head, Items: items}, err
}

// reset returns the whole state with the sequence that it is complete up to. It reads the stream to
// its end first: what was committed a moment ago may not be in State yet, and whoever is told its
// sequence never asks for it again.
func (l *Log) reset(ctx context.Context) (token.Feed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.catchUp(ctx)
	return token.Feed{Epoch: l.Epoch, Head: l.after, Items: l.State.Snapshot(), Reset: true}, err
}

// revocations returns the items of a page of the stream, and the sequence of the last one.
func revocations(page store.Entries) ([]token.Revocation, uint64, error) {
	return feed.Items(page, func(r *token.Revocation, seq uint64) { r.Seq = seq })
}
