package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

// rollbackLimit bounds the wait for a rollback; the rollback itself goes on when the wait ends.
const rollbackLimit = 2 * time.Hour

func rollback() cli.Command {
	return cli.Command{Use: "rollback", Short: "undo what was done",
		Commands: []cli.Command{rollbackExecute(), rollbackPreview(), rollbackList(), rollbackShow(),
			rollbackReconcile(), rollbackStatistics()}}
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
			"  orchestrator rollback execute --operation 0199…/upcloud_servers\n" +
			"  orchestrator rollback execute --checkpoint before_cleanup --recreate",
		Flags: func(f *cli.Flags) {
			rollbackFlags(f, &r, &checkpoint, &batch)
			f.BoolVar(&yes, "yes", false, "do not ask")
		},
		Proposed: map[string]func(context.Context, *cli.IO) []string{"checkpoint": checkpointNames, "batch": batchIDs},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		if err := oneOf(&r, checkpoint, batch); err != nil {
			return err
		}
		what, err := chosen(ctx, api, &r, checkpoint, batch)
		if err != nil {
			return err
		}
		if what == "" {
			return o.Done(cli.Result{ID: batch, Result: "unchanged"}, "unchanged: nothing that batch %s completed still stands", batch)
		}
		if r.Recreate {
			what += "; servers that these deleted are made again, empty"
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

func rollbackList() cli.Command {
	var p client.Page
	return remote(cli.Command{
		Use: "list", Short: "list past rollbacks, newest first",
		Example: "  orchestrator rollback list --limit 10", Flags: func(f *cli.Flags) { cli.PageFlags(f, &p) },
	},
		func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
			l, err := api.Rollbacks(ctx, p)
			if err != nil {
				return err
			}
			return cli.PrintList(o, l, rollbackTable(l.Rows))
		})
}

// rollbackTable shows rollbacks, one a line.
func rollbackTable(rows []client.Rollback) cli.Table {
	t := cli.Table{Head: []string{"ROLLBACK", "STATE", "BEGUN", "BY", "TO UNDO", "UNDONE", "FAILED", "SECONDS"}}
	for _, r := range rows {
		state := "goes on"
		if r.Ended {
			state = "ended"
		}
		t.Rows = append(t.Rows, []string{r.RollbackID, state, r.CreatedAt.Format(time.RFC3339), r.CreatedBy,
			strconv.Itoa(r.OperationsPlanned), strconv.Itoa(r.OperationsExecuted), strconv.Itoa(r.OperationsFailed),
			fmt.Sprintf("%.2f", r.Duration)})
	}
	return t
}

func rollbackReconcile() cli.Command {
	return remote(cli.Command{
		Use: "reconcile", Changes: true, Short: "compare the inventory with what the providers have, and make it say so",
		Long: "What is gone leaves the inventory; a server that an operation made which still stands comes back. When every provider " +
			"has answered, the\ninventory is verified. Ends with 8 when it is not.",
		Example: "  orchestrator rollback reconcile",
	},
		func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
			api.HTTP = client.Connect(api.Roots, rollbackLimit)
			r, err := api.Reconcile(ctx)
			if err != nil {
				return err
			}
			verified := "yes"
			if !r.Verified {
				verified = "no"
			}
			t := cli.Table{Facts: [][2]string{{"verified", verified}, {"compared", strconv.Itoa(r.Checked)}},
				Head: []string{"RESOURCE", "FOUND"}}
			for found, names := range map[string][]string{"gone, removed from the inventory": r.Removed,
				"there, added to the inventory": r.Added, "there, made by no operation of this service": r.Unlisted} {
				for _, name := range names {
					t.Rows = append(t.Rows, []string{name, found})
				}
			}
			slices.SortFunc(t.Rows, slices.Compare)
			if err := o.Print(r, t); err != nil || r.Verified {
				return err
			}
			return cli.Exit(cli.ExitRunFailed, fmt.Errorf("the inventory is not verified: %s", strings.Join(r.Unanswered, "; ")))
		})
}

func rollbackStatistics() cli.Command {
	return remote(cli.Command{
		Use: "statistics", Short: "how many checkpoints and rollbacks there are, and whether the inventory is verified",
		Example: "  orchestrator rollback statistics",
	},
		func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
			s, err := api.RollbackStatistics(ctx)
			if err != nil {
				return err
			}
			inventory := "not restored"
			switch {
			case s.RestoreUnfinished:
				inventory = "half restored from checkpoint " + s.RestoredFrom + "; restore it again"
			case s.Unverified:
				inventory = "restored from checkpoint " + s.RestoredFrom + ", unverified; see: orchestrator rollback reconcile"
			case s.ReconciledAt != nil:
				inventory = "verified at " + s.ReconciledAt.Format(time.RFC3339)
			}
			return o.Print(s, cli.Table{Facts: [][2]string{{"checkpoints", strconv.Itoa(s.TotalCheckpoints)},
				{"rollbacks", strconv.Itoa(s.TotalRollbacks)}, {"success rate", fmt.Sprintf("%.1f%%", s.SuccessRate)},
				{"average time", fmt.Sprintf("%.2f s", s.AverageRollbackTime)}, {"inventory", inventory}}})
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
		b, err := namedBatch(ctx, api, batch)
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
