package cli

import (
	"context"
	"encoding/json"

	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/orchestrator/internal/trust"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Recovery is the orchestrator's part of `audit recover`: its streams get a new identity, so that
// watchers do not go on at a place of the lost history.
func Recovery() cli.Recovery {
	return cli.Recovery{Begin: func(context.Context, *cli.IO, string) (func(context.Context, *feed.Hub) error,
		func(*store.Tx, map[string]any) error, error) {
		return nil, func(tx *store.Tx, details map[string]any) error {
			epoch, err := run.NewEpoch(tx)
			details["epoch"] = epoch
			return err
		}, nil
	}}
}

// Subjects returns the verb that writes what this orchestrator knows of every account, for
// `control-center audit recover --subjects` (ADR 0009). find says where the data folder is.
func Subjects(s cli.Setup, find func(*cli.IO, *cli.Setup) (cli.AuditLog, error)) cli.Command {
	return cli.Command{
		Use: "subjects", Short: "write what is known of every account, to recover the control-center with", Flags: s.Declare,
		Long: "Writes JSON lines to standard output: id, enabled, deleted, roles and the highest authorization version of each account " +
			"that\n" +
			"the control-center has ever named. Stop the orchestrator first: it holds its folder.",
		Example: "  orchestrator audit subjects --data ./data > subjects.jsonl",
		Run: func(ctx context.Context, o *cli.IO, _ []string) error {
			log, err := find(o, &s)
			if err != nil {
				return err
			}
			if log.Store.InMemory() {
				return fault.New(fault.Invalid, "audit.memory", "a store in memory ends with its process; nothing is known")
			}
			db, err := log.OpenToRead(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = db.Close() }()
			out := json.NewEncoder(o.Out)
			return trust.Subjects(ctx, db, func(subject token.SubjectState) error { return out.Encode(subject) })
		},
	}
}
