package bootstrap

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/tokens"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// deployment says which deployment a store belongs to.
type deployment struct {
	CreatedAt time.Time `json:"created_at"`
	Epoch     string    `json:"epoch,omitempty"` // of the streams, since a recovery; else the name
	ID        string    `json:"id"`              // always "deployment"
	Name      string    `json:"name"`
}

var deployments = store.Table[deployment]{Kind: "deployment", ID: func(d deployment) string { return d.ID }}

const deploymentID = "deployment"

// Kinds declares the documents of this package.
func Kinds() []store.Kind { return []store.Kind{{Name: deployments.Kind}} }

// Epoch returns the identity of the streams that the orchestrator follows: the id of the
// deployment, or, since the store was put back and recovered, what NewEpoch made. A store in memory
// has a new one at each start.
func Epoch(ctx context.Context, db store.DB, f File, memory bool, now time.Time) (string, error) {
	if memory {
		return f.Deployment + "/" + now.UTC().Format(time.RFC3339Nano), nil
	}
	row, err := deployments.Get(ctx, db, deploymentID)
	if err != nil || row.Value.Epoch == "" {
		return f.Deployment, err
	}
	return row.Value.Epoch, nil
}

// NewEpoch gives the streams another identity and returns it, so that the orchestrator reads them
// anew.
func NewEpoch(tx *store.Tx, f File) (string, error) {
	row, err := deployments.Load(tx, deploymentID)
	if err != nil {
		return "", err
	}
	if row.Rev == 0 || row.Value.Name != f.Deployment {
		return "", errOther
	}
	row.Value.Epoch = f.Deployment + "/" + id.Random()
	return row.Value.Epoch, deployments.Save(tx, row.Value)
}

// The faults of Import.
var (
	errUsed = fault.New(fault.Conflict, "bootstrap.used",
		"the store is empty, but this data folder's bootstrap was used before: the database was wiped or replaced. "+
			"Restore it from a backup, or run `control-center init --data NEW_FOLDER` to begin a new deployment")
	errOther = fault.New(fault.Conflict, "bootstrap.other_deployment",
		"the store belongs to another deployment than this data folder; check --data and --store")
)

// Import stores the beginning of a deployment in an empty store, in one commit, and marks the file
// f as used. It leaves a store of this deployment as it is. A used file and an empty store are a
// Conflict, except with again: a store in memory begins anew at each start.
func Import(ctx context.Context, db store.DB, dir string, f File, again bool, now time.Time) error {
	row, err := deployments.Get(ctx, db, deploymentID)
	if err != nil {
		return err
	}
	switch {
	case row.Rev != 0 && row.Value.Name != f.Deployment:
		return errOther
	case row.Rev == 0 && f.UsedAt != nil && !again:
		return errUsed
	case row.Rev == 0:
		if err := create(ctx, db, f); err != nil {
			return err
		}
	}
	if f.UsedAt != nil {
		return nil
	}
	used := now.UTC().Truncate(time.Millisecond)
	f.UsedAt = &used
	return write(dir, fileName, f)
}

// create stores the first administrator with a factor, the signing keys and the orchestrator's
// client in one commit.
func create(ctx context.Context, db store.DB, f File) error {
	act := change.New("deployment.create", "deployments/"+f.Deployment, map[string]any{"username": f.User.Username, "user_id": f.User.ID})
	changes := change.Committer{DB: db}
	return changes.Commit(ctx, act, func(tx *store.Tx) error {
		if err := user.Insert(tx, act, f.User); err != nil {
			return err
		}
		if err := mfa.Table.Create(tx, f.Factor); err != nil {
			return err
		}
		act.Emit(change.MFAEnrolled, f.User.ID, change.Data{Username: f.User.Username})
		if err := keys.Insert(tx, act, f.Keys); err != nil {
			return err
		}
		if err := tokens.ClientTable.Create(tx, f.Client); err != nil {
			return err
		}
		act.Emit(change.ClientCreated, f.Client.ID, change.Data{Name: f.Client.Name})
		return deployments.Create(tx, deployment{CreatedAt: f.CreatedAt, ID: deploymentID, Name: f.Deployment})
	})
}
