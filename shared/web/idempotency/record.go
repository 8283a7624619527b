package idempotency

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/store"
)

// record is the document of one Idempotency-Key. Fields stand in the order of their JSON names.
type record struct {
	Body     string    `json:"body"`             // fingerprint of the request
	Expires  time.Time `json:"expires"`          // 24 h after the first request
	ID       string    `json:"id"`               // hash of caller, operation, path and key
	NewID    string    `json:"new_id"`           // the id of the work, the same in every run
	Object   string    `json:"object,omitempty"` // what the secret is of that the answer showed; then Response is empty
	Response string    `json:"response"`         // the first answer
	State    string    `json:"state"`
	Status   int       `json:"status"`
	Type     string    `json:"type,omitempty"` // content type of Response; empty is that of the envelope
}

// States of a record. An open one has no answer: a repeat runs again, under the same NewID. Stores
// of older versions also hold "running", which is the same.
const (
	stateOpen = "open"
	stateDone = "done"
)

const (
	kind = "idempotency"
	ttl  = 24 * time.Hour
)

// Kinds returns what the package stores; a service's schema includes it.
func Kinds() []store.Kind { return []store.Kind{{Name: kind, Indexes: []string{"expires"}}} }

// records is the table of records; its index lets Sweep find what has expired.
func records() store.Table[record] {
	return store.Table[record]{
		Kind: kind,
		ID:   func(r record) string { return r.ID },
		Index: func(r record) []store.IndexKey {
			return []store.IndexKey{{Name: "expires", Value: instant.Format(r.Expires)}}
		},
	}
}

const (
	sweepEvery = 10 * time.Minute // Run looks for expired records
	sweepPage  = 32               // records at once: each may hold an answer of maxAnswer
)

// Run deletes expired records until ctx ends; then it returns nil.
func (k *Records) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for n := sweepPage; n == sweepPage; {
			var err error
			if n, err = Sweep(ctx, k.DB, k.Now()); err != nil && ctx.Err() == nil {
				k.Log.WarnContext(ctx, "expired idempotency keys could not be deleted", "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Sweep deletes records that have expired, at most 32 of them, and returns how many.
func Sweep(ctx context.Context, db store.DB, now time.Time) (int, error) {
	t := records()
	rows, _, err := t.List(ctx, db, store.Query{Index: "expires", Limit: sweepPage})
	if err != nil {
		return 0, err
	}
	var b store.Batch
	for _, row := range rows {
		if row.Value.Expires.After(now) {
			break // the index is in the order of expiry
		}
		b.Writes = append(b.Writes, store.Write{Key: t.Key(row.Value.ID), Expect: store.At(row.Rev), Action: store.Delete})
	}
	if len(b.Writes) == 0 {
		return 0, nil
	}
	if _, err = db.Commit(ctx, b); err != nil {
		return 0, err
	}
	return len(b.Writes), nil
}
