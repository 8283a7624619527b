package revocation

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// snapshot is what compaction leaves of the stream up to Start: the items that never expire. Load
// begins with it, and the stream is trimmed below. Run makes a new one every 24 h, so that Load
// reads two days of the stream at most. Fields stand in the order of their JSON names.
type snapshot struct {
	At    int64              `json:"at"` // Unix second at which the snapshot was made, when the stream ended with Next
	ID    string             `json:"id"`
	Kept  []token.Revocation `json:"kept"`  // the items up to Start that never expire
	Next  uint64             `json:"next"`  // the Start of the next snapshot, made when all up to it has expired
	Start uint64             `json:"start"` // sequence
}

var snapshots = store.Table[snapshot]{Kind: "revocation_place", ID: func(p snapshot) string { return p.ID }}

const snapshotID = "place"

// Kinds declares the documents of this package.
func Kinds() []store.Kind { return []store.Kind{{Name: snapshots.Kind}} }

// Renew lets the stream of a stopped service that was put back begin with items, in the transaction
// of its recovery. What stood in the stream before spoke of tokens that no key verifies any more.
func Renew(tx *store.Tx, db store.DB, now time.Time, items ...token.Revocation) error {
	page, err := db.Read(tx.Context(), Stream, store.Latest, 0)
	if err != nil {
		return err
	}
	tx.Trim(Stream, page.Head)
	if err := snapshots.Save(tx, snapshot{At: now.Unix(), ID: snapshotID, Kept: []token.Revocation{}, Next: page.Head,
		Start: page.Head}); err != nil {
		return err
	}
	return Append(tx, items...)
}

// compactEvery is after what time all that stood in the stream has expired: Keep and five minutes,
// by which clocks may differ.
const compactEvery = Keep + 5*time.Minute

// compact makes a new snapshot when compactEvery has passed since the last one. It leaves no audit
// entry and no event, for it changes nothing that a reader of the stream is told. mu is held.
func (l *Log) compact(ctx context.Context, now time.Time) error {
	if now.Sub(time.Unix(l.start.At, 0)) < compactEvery {
		return nil
	}
	p := snapshot{At: now.Unix(), ID: snapshotID, Kept: []token.Revocation{}, Next: l.after, Start: l.start.Next}
	for _, it := range l.State.Snapshot() {
		if it.Exp == 0 && it.Seq <= p.Start {
			p.Kept = append(p.Kept, it)
		}
	}
	_, err := store.Update(ctx, l.DB, func(tx *store.Tx) error {
		tx.Trim(Stream, p.Start)
		return snapshots.Save(tx, p)
	})
	if err == nil {
		l.start = p
	}
	return err
}

// compacted says whether items above after may be gone from the stream.
func (l *Log) compacted(after uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return after < l.start.Start
}
