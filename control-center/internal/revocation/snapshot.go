package revocation

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// place is where Load begins: below Start nothing matters any more but what never expires, and
// the stream is trimmed. It moves once a day or so, so that a start reads two days of the stream
// at most. Fields stand in the order of their JSON names.
type snapshot struct {
	At    int64              `json:"at"` // Unix second at which the stream ended with Next
	ID    string             `json:"id"`
	Kept  []token.Revocation `json:"kept"` // what never expires of the stream up to Start
	Next  uint64             `json:"next"` // Start's successor, when everything up to it is over
	Start uint64             `json:"start"`
}

var snapshots = store.Table[snapshot]{Kind: "revocation_place", ID: func(p snapshot) string { return p.ID }}

const snapshotID = "place"

// Kinds declares the documents of this package.
func Kinds() []store.Kind { return []store.Kind{{Name: snapshots.Kind}} }

// Renew lets the stream of a stopped service begin with items: what stood in it before spoke of
// tokens that no key verifies any more. Who follows the stream is then told the whole in one
// answer.
func Renew(tx *store.Tx, db store.DB, now time.Time, items ...token.Revocation) error {
	page, err := db.Read(tx.Context(), Stream, store.Latest, 0)
	if err != nil {
		return err
	}
	tx.Trim(Stream, page.Head)
	if err := snapshots.Save(tx, snapshot{At: now.Unix(), ID: snapshotID, Kept: []token.Revocation{}, Next: page.Head, Start: page.Head}); err != nil {
		return err
	}
	return Append(tx, items...)
}

// moveEvery is when everything that stood in the stream before is over: Keep, and what clocks may differ.
const compactEvery = Keep + 5*time.Minute

// moveOn moves the place when it is time to. It is no act: nothing that counts changes. Called with mu held.
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

// dropped says whether items above after may be missing from what Load has read.
func (l *Log) compacted(after uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return after < l.start.Start
}
