package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

func checkpoints() cli.Command {
	return cli.Command{Use: "checkpoint", Short: "points to roll back to",
		Commands: []cli.Command{checkpointCreate(), checkpointList(), checkpointShow(), checkpointDiff(),
			checkpointRestore(), checkpointDelete()}}
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
	var automatic bool
	return remote(cli.Command{
		Use: "list", Short: "list checkpoints, newest first",
		Example: "  orchestrator checkpoint list --limit 10", Flags: func(f *cli.Flags) {
			f.BoolVar(&automatic, "automatic", false, "only those that were taken automatically")
			cli.PageFlags(f, &p)
		},
	},
		func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
			ask := api.Checkpoints
			if automatic {
				ask = api.AutomaticCheckpoints
			}
			l, err := ask(ctx, p)
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

func checkpointRestore() cli.Command {
	var yes bool
	return remote(cli.Command{
		Use: "restore NAME|ID", Changes: true, Short: "make the inventory what it was at a checkpoint; no provider is asked", Args: 1,
		Complete: checkpointNames,
		Example:  "  orchestrator checkpoint restore before_web",
		Long: "It is for a store that is wrong about the world: no server is made or deleted. To undo what was done: rollback execute. " +
			"It is refused\nwhile anything runs, and takes a checkpoint of its own before. Asks before it begins. --yes does not ask; " +
			"without a terminal it is\nneeded. Afterwards `rollback reconcile` compares the inventory with the providers.",
		Flags: func(f *cli.Flags) { f.BoolVar(&yes, "yes", false, "do not ask") },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		c, err := checkpoint(ctx, api, args[0])
		if err != nil {
			return err
		}
		o.Note("this makes the inventory what it was at checkpoint %s of %s", c.Name, c.CreatedAt.Format(time.RFC3339))
		if err := o.Confirm("go on? [yes/no] ", "yes", yes); err != nil {
			return err
		}
		if err := api.RestoreCheckpoint(ctx, c.ID, ""); err != nil {
			return err
		}
		return o.Done(cli.Result{ID: c.ID, Result: "restored"},
			"restored from checkpoint %s; the inventory is unverified until: orchestrator rollback reconcile", c.Name)
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
