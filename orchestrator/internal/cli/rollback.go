package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

func checkpoints() cli.Command {
	return cli.Command{Use: "checkpoint", Short: "points to roll back to",
		Commands: []cli.Command{checkpointCreate(), checkpointList(), checkpointShow(), checkpointDelete()}}
}

func checkpointCreate() cli.Command {
	var description string
	return remote(cli.Command{
		Use: "create NAME", Changes: true, Short: "take a checkpoint; it costs next to nothing", Args: 1,
		Example: "  orchestrator checkpoint create before_web --description 'before the new web servers'",
		Flags: func(f *cli.Flags) {
			f.StringVar(&description, "description", "", "what it is for")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		id, err := api.CreateCheckpoint(ctx, args[0], description, "")
		if err != nil {
			return err
		}
		return o.Print(map[string]string{"id": id}, cli.Table{Rows: [][]string{{id}}})
	})
}

func checkpointList() cli.Command {
	var p client.Page
	return remote(cli.Command{
		Use: "list", Short: "list checkpoints, newest first",
		Example: "  orchestrator checkpoint list --limit 10", Flags: func(f *cli.Flags) { cli.PageFlags(f, &p) },
	},
		func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
			l, err := api.Checkpoints(ctx, p)
			if err != nil {
				return err
			}
			return cli.PrintList(o, l, checkpointTable(l.Rows))
		})
}

func checkpointShow() cli.Command {
	return remote(cli.Command{
		Use: "show NAME|ID", Short: "show one checkpoint and how many operations a rollback to it would undo", Args: 1,
		Complete: checkpointNames,
		Example:  "  orchestrator checkpoint show before_web",
	},
		func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
			c, err := checkpoint(ctx, api, args[0])
			if err != nil {
				return err
			}
			return o.Print(c, checkpointTable([]client.Checkpoint{c}))
		})
}

func checkpointDelete() cli.Command {
	var yes bool
	return remote(cli.Command{
		Use: "delete NAME|ID", Changes: true, Short: "delete a checkpoint and free what is kept for its sake alone", Args: 1,
		Complete: checkpointNames,
		Example:  "  orchestrator checkpoint delete before_web",
		Long: "Nobody can go back to it afterwards. Says what it holds and asks before it is deleted. --yes does not ask; without a " +
			"terminal it is needed.",
		Flags: func(f *cli.Flags) { f.BoolVar(&yes, "yes", false, "do not ask") },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		c, err := checkpoint(ctx, api, args[0])
		if err != nil {
			return err
		}
		o.Note("this deletes checkpoint %s of %s, which holds %d operation(s)", c.Name, c.CreatedAt.Format(time.RFC3339), c.HeldOperations)
		if err := o.Confirm("go on? [yes/no] ", "yes", yes); err != nil {
			return err
		}
		if err := api.DeleteCheckpoint(ctx, c.ID); err != nil {
			return err
		}
		return o.Done(cli.Result{ID: c.ID, Result: "deleted"}, "checkpoint %s is deleted", c.Name)
	})
}

func checkpointTable(rows []client.Checkpoint) cli.Table {
	t := cli.Table{Head: []string{"ID", "NAME", "CREATED", "SIZE", "TO UNDO", "HOLDS", "DESCRIPTION"}}
	for _, c := range rows {
		undo := ""
		if c.OperationsCount != nil {
			undo = strconv.Itoa(*c.OperationsCount)
		}
		holds := strconv.Itoa(c.HeldOperations)
		if c.RecordOnly {
			holds = "record only"
		}
		t.Rows = append(t.Rows, []string{c.ID, c.Name, c.CreatedAt.Format(time.RFC3339), c.Size, undo, holds, c.Description})
	}
	return t
}

// rollbackLimit bounds the wait for a rollback; the rollback itself goes on when the wait ends.
const rollbackLimit = 2 * time.Hour

func rollback() cli.Command {
	return cli.Command{Use: "rollback", Short: "undo what was done", Commands: []cli.Command{rollbackExecute(), rollbackShow()}}
}

func rollbackExecute() cli.Command {
	var r client.RollbackRequest
	var checkpoint, batch string
	var yes bool
	return remote(cli.Command{
		Use: "execute", Changes: true, Short: "undo everything after a checkpoint, a batch, or the given operations",
		Long: "Says what will be undone and asks before it begins. --yes does not ask; without a terminal it is needed. Ends with 8 " +
			"when something could\n" +
			"not be undone.",
		Example: "  orchestrator rollback execute --checkpoint before_web\n  orchestrator rollback execute --batch 0199…\n" +
			"  orchestrator rollback execute --operation 0199…/upcloud_servers",
		Flags: func(f *cli.Flags) {
			f.StringVar(&checkpoint, "checkpoint", "", "undo what completed after this checkpoint (name or id)")
			f.StringVar(&batch, "batch", "", "undo what this batch completed")
			f.StringSliceVar(&r.OperationIDs, "operation", nil,
				"undo this operation (task id, batch/operation, or operation id); may be repeated")
			f.BoolVar(&r.Cascade, "cascade", false, "also undo what stands on the named operations")
			f.BoolVar(&yes, "yes", false, "do not ask")
		},
		Proposed: map[string]func(context.Context, *cli.IO) []string{"checkpoint": checkpointNames, "batch": batchIDs},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		given := 0
		for _, one := range []bool{checkpoint != "", batch != "", len(r.OperationIDs) > 0} {
			if one {
				given++
			}
		}
		if given != 1 {
			return cli.Usage("give one of --checkpoint, --batch or --operation")
		}
		what, err := chosen(ctx, api, &r, checkpoint, batch)
		if err != nil {
			return err
		}
		if what == "" {
			return o.Done(cli.Result{ID: batch, Result: "unchanged"}, "unchanged: nothing that batch %s completed still stands", batch)
		}
		o.Note("this undoes %s", what)
		if err := o.Confirm("go on? [yes/no] ", "yes", yes); err != nil {
			return err
		}
		api.HTTP = client.Connect(api.Roots, rollbackLimit)
		out, err := api.ExecuteRollback(ctx, r, "")
		if err != nil {
			return err
		}
		if err = printRollback(o, out); err == nil && !out.Success {
			return cli.Exit(cli.ExitRunFailed,
				fmt.Errorf("%d operation(s) could not be undone; see: orchestrator task list", out.OperationsFailed))
		}
		return err
	})
}

func rollbackShow() cli.Command {
	return remote(cli.Command{
		Use: "show ID", Short: "show how far a rollback is, or what it came to", Args: 1,
		Example: "  orchestrator rollback show 01890000-0000-7000-8000-000000000001",
	},
		func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
			out, err := api.Rollback(ctx, args[0])
			if err != nil {
				return err
			}
			return printRollback(o, out)
		})
}

// printRollback prints a rollback, and what it could not undo as notes.
func printRollback(o *cli.IO, r client.Rollback) error {
	state := "goes on"
	if r.Ended {
		state = "ended"
	}
	err := o.Print(r, cli.Table{Head: []string{"ROLLBACK", "STATE", "TO UNDO", "UNDONE", "FAILED", "SECONDS"},
		Rows: [][]string{{r.RollbackID, state, strconv.Itoa(r.OperationsPlanned), strconv.Itoa(r.OperationsExecuted),
			strconv.Itoa(r.OperationsFailed), fmt.Sprintf("%.2f", r.Duration)}}})
	for _, f := range r.Failures {
		o.Note("not undone: %s (%s): %s", f.Name, f.TaskID, f.Error)
	}
	return err
}

// chosen fills in what to undo, and says it in words; no words when nothing of the batch still
// stands.
func chosen(ctx context.Context, api *client.Client, r *client.RollbackRequest, checkpoint, batch string) (string, error) {
	switch {
	case checkpoint != "":
		id, err := checkpointID(ctx, api, checkpoint)
		if err != nil {
			return "", err
		}
		c, err := api.Checkpoint(ctx, id)
		if err != nil {
			return "", err
		}
		r.CheckpointID = id
		count := "what"
		if c.OperationsCount != nil {
			count = fmt.Sprintf("%d operation(s) that", *c.OperationsCount)
		}
		return fmt.Sprintf("%s completed after checkpoint %s of %s", count, c.Name, c.CreatedAt.Format(time.RFC3339)), nil
	case batch != "":
		b, err := api.Batch(ctx, batch)
		if err != nil {
			return "", err
		}
		var names []string
		for _, op := range b.Operations {
			if op.Status == "Completed" && op.RolledBackAt == nil {
				names = append(names, op.ID)
				r.OperationIDs = append(r.OperationIDs, op.TaskID)
			}
		}
		if len(names) == 0 {
			return "", nil
		}
		return fmt.Sprintf("%d operation(s) of batch %s: %s", len(names), b.Name, strings.Join(names, ", ")), nil
	}
	return fmt.Sprintf("%d operation(s): %s", len(r.OperationIDs), strings.Join(r.OperationIDs, ", ")), nil
}
