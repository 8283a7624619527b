package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/orchestrator/internal/trust"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/driver"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// Folders inside the data folder.
const (
	auditFolder = "audit"
	keysFolder  = "keys"
)

// Schema is what the orchestrator stores.
func Schema() store.Schema {
	kinds := []store.Kind{{Name: identities.Kind}}
	for _, k := range [][]store.Kind{audit.Kinds(), run.Schema(), feed.Kinds(), trust.Kinds(), retention.Kinds(), idempotency.Kinds()} {
		kinds = append(kinds, k...)
	}
	return store.Schema{Service: "orchestrator", Kinds: kinds}
}

// identity names a store: it is made with it, so a wiped or replaced store has another. Watchers learn from it that
// the sequences they remember mean nothing any more.
type storeIdentity struct {
	Epoch string `json:"epoch"`
	ID    string `json:"id"`
}

var identities = store.Table[storeIdentity]{Kind: "identity", ID: func(i storeIdentity) string { return i.ID }}

const eventsID = "events"

// epochOf returns the identity of the store's streams, which it makes at the first start.
func epochOf(ctx context.Context, db store.DB) (string, error) {
	row, err := identities.Get(ctx, db, eventsID)
	if err != nil || row.Rev != 0 {
		return row.Value.Epoch, err
	}
	made := storeIdentity{Epoch: id.Random(), ID: eventsID}
	act := audit.Act{Action: "store.create", Resource: "stores/orchestrator"}
	_, err = audit.Update(ctx, db, &act, func(tx *store.Tx) error { return identities.Create(tx, made) })
	return made.Epoch, err
}

// open opens the store behind its hub.
func open(ctx context.Context, o driver.Options) (*feed.Hub, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := secret.Private(o.Dir, 0o700); err != nil {
		return nil, err
	}
	db, err := driver.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return feed.NewHub(db), nil
}

// auditDir is where the tree and heads of the log lie; a store in memory has none.
func auditDir(dir string, memory bool) string {
	if memory {
		return ""
	}
	return filepath.Join(dir, auditFolder)
}
