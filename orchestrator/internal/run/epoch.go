package run

import (
	"context"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// identity names a store: it is made with it, so a wiped or replaced store has another. Watchers
// learn from it that the sequences they remember mean nothing any more.
type identity struct {
	Epoch string `json:"epoch"`
	ID    string `json:"id"` // always identityID
}

var identities = store.Table[identity]{Kind: "identity", ID: func(i identity) string { return i.ID }}

const identityID = "events"

// Epoch returns the identity of the store's streams, which it makes at the first start.
func Epoch(ctx context.Context, db store.DB) (string, error) {
	row, err := identities.Get(ctx, db, identityID)
	if err != nil || row.Rev != 0 {
		return row.Value.Epoch, err
	}
	made := identity{Epoch: id.Random(), ID: identityID}
	act := audit.EntryDraft{Action: "store.create", Resource: "stores/orchestrator"}
	_, err = audit.Update(ctx, db, &act, func(tx *store.Tx) error { return identities.Create(tx, made) })
	return made.Epoch, err
}

// NewEpoch gives the streams another identity and returns it, so that watchers do not go on at a
// place of a lost history.
func NewEpoch(tx *store.Tx) (string, error) {
	made := identity{Epoch: id.Random(), ID: identityID}
	return made.Epoch, identities.Save(tx, made)
}
