package cli

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

func checkpoints() cli.Command {
	return cli.Command{Use: "checkpoint", Short: "points to roll back to",
		Commands: []cli.Command{checkpointCreate(), checkpointList(), checkpointShow()}}
}

func checkpointCreate() cli.Command {
	var description, idempotency string
	return remote(cli.Command{
		Use: "create NAME", Short: "take a checkpoint; it costs next to nothing", Args: 1,
		Flags: func(f *cli.Flags) {
			f.StringVar(&description, "description", "", "what it is for")
			key(f, &idempotency)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		id, err := api.CreateCheckpoint(ctx, args[0], description, idempotency)
		if err != nil {
			return err
		}
		return o.Print(map[string]string{"id": id}, cli.Table{Rows: [][]string{{id}}})
	})
}

func checkpointList() cli.Command {
	var p client.Page
	return remote(cli.Command{Use: "list", Short: "list checkpoints, newest first", Flags: func(f *cli.Flags) { cli.PageFlags(f, &p) }},
		func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
			l, err := api.Checkpoints(ctx, p)
			if err != nil {
				return err
			}
			o.More(len(l.Rows), l.Extent)
			return o.Print(l.Rows, checkpointTable(l.Rows))
		})
}

func checkpointShow() cli.Command {
	return remote(cli.Command{Use: "show ID", Short: "show one checkpoint and how many operations a rollback to it would undo", Args: 1},
		func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
			c, err := api.Checkpoint(ctx, args[0])
			if err != nil {
				return err
			}
			return o.Print(c, checkpointTable([]client.Checkpoint{c}))
		})
}

func checkpointTable(rows []client.Checkpoint) cli.Table {
	t := cli.Table{Head: []string{"ID", "NAME", "CREATED", "SIZE", "TO UNDO", "DESCRIPTION"}}
	for _, c := range rows {
		undo := ""
		if c.OperationsCount != nil {
			undo = strconv.Itoa(*c.OperationsCount)
		}
		t.Rows = append(t.Rows, []string{c.ID, c.Name, c.CreatedAt.Format(time.RFC3339), c.Size, undo, c.Description})
	}
	return t
}

// rollbackLimit bounds the wait for a rollback; the rollback itself goes on when the wait ends.
const rollbackLimit = 2 * time.Hour

func rollback() cli.Command {
	return cli.Command{Use: "rollback", Short: "undo what was done", Commands: []cli.Command{rollbackExecute()}}
}

func rollbackExecute() cli.Command {
	var r client.RollbackRequest
	var idempotency string
	return remote(cli.Command{
		Use: "execute", Short: "undo everything after a checkpoint, or the given operations",
		Example: "  orchestrator rollback execute --checkpoint 0199…\n  orchestrator rollback execute --operation 0199…/upcloud_servers",
		Flags: func(f *cli.Flags) {
			f.StringVar(&r.CheckpointID, "checkpoint", "", "undo what completed after this checkpoint")
			f.StringSliceVar(&r.OperationIDs, "operation", nil, "undo this operation (task id, batch/operation, or operation id); may be repeated")
			f.BoolVar(&r.Cascade, "cascade", false, "also undo what stands on the named operations")
			key(f, &idempotency)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		if (r.CheckpointID == "") == (len(r.OperationIDs) == 0) {
			return cli.Usage("give either --checkpoint or --operation")
		}
		api.HTTP = &http.Client{Timeout: rollbackLimit}
		out, err := api.ExecuteRollback(ctx, r, idempotency)
		if err != nil {
			return err
		}
		err = o.Print(out, cli.Table{Head: []string{"ROLLBACK", "UNDONE", "FAILED", "SECONDS"},
			Rows: [][]string{{out.RollbackID, strconv.Itoa(out.OperationsExecuted), strconv.Itoa(out.OperationsFailed), fmt.Sprintf("%.2f", out.Duration)}}})
		if err == nil && !out.Success {
			return cli.Exit(cli.ExitRunFailed, fmt.Errorf("%d operation(s) could not be undone; see: orchestrator task list", out.OperationsFailed))
		}
		return err
	})
}
