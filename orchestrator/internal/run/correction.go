package run

import (
	"time"

	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Correction is a change of the inventory that no effect explains: by a restore, or by a reconcile
// that asked the providers. Whoever rebuilds the inventory of a later cut needs it.
type Correction struct {
	Gone     bool     `json:"gone,omitempty"` // the resource left the inventory
	ID       string   `json:"id"`
	Resource Resource `json:"resource"`
}

// Corrections is the table of corrections.
func Corrections() store.Table[Correction] {
	return store.Table[Correction]{Kind: correctionKind, ID: func(c Correction) string { return c.ID }}
}

// Correct returns the writes that put a resource into the inventory, or take it out when gone, and
// the correction that remembers it. The row must have the revision rev, 0 for none.
func Correct(r Resource, gone bool, rev uint64) ([]store.Write, error) {
	own := store.Write{Key: Resources().Key(Resources().ID(r)), Expect: store.At(rev), Action: store.Delete}
	if !gone {
		var err error
		if own, err = Resources().Write(r, store.At(rev)); err != nil {
			return nil, err
		}
	}
	note, err := Corrections().Write(Correction{Gone: gone, ID: id.New(), Resource: r}, store.Absent())
	return []store.Write{own, note}, err
}

// Verification says whether the inventory was restored and not compared with the providers since.
type Verification struct {
	Checkpoint   string     `json:"checkpoint,omitempty"` // the last one that was restored
	ID           string     `json:"id"`                   // VerificationID
	ReconciledAt *time.Time `json:"reconciled_at,omitempty"`
	RestoredAt   *time.Time `json:"restored_at,omitempty"`
	Unfinished   bool       `json:"unfinished,omitempty"` // the restore was cut off; it is to be made again
	Unverified   bool       `json:"unverified,omitempty"`
}

// VerificationID is the id of the only Verification.
const VerificationID = "inventory"

// Verifications is the table of the one Verification.
func Verifications() store.Table[Verification] {
	return store.Table[Verification]{Kind: verificationKind, ID: func(v Verification) string { return v.ID }}
}

// RollbackTotals counts the rollbacks that have ended, also those that were pruned since. Those
// that a failed batch begins by itself are none.
type RollbackTotals struct {
	Ended     int    `json:"ended"`
	ID        string `json:"id"` // RollbackTotalsID
	Millis    int64  `json:"millis"`
	Succeeded int    `json:"succeeded"` // of Ended: with nothing left undone
}

// RollbackTotalsID is the id of the only RollbackTotals.
const RollbackTotalsID = "rollbacks"

// AllRollbackTotals is the table of the one RollbackTotals.
func AllRollbackTotals() store.Table[RollbackTotals] {
	return store.Table[RollbackTotals]{Kind: rollbackTotalsKind, ID: func(t RollbackTotals) string { return t.ID }}
}
