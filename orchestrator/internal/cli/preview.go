package cli

import (
	"context"
	"strconv"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

func rollbackPreview() cli.Command {
	var r client.RollbackRequest
	var checkpoint, batch string
	return remote(cli.Command{
		Use: "preview", Short: "say what a rollback would undo, in which order, and what cannot be undone",
		Long:     "It changes nothing.",
		Example:  "  orchestrator rollback preview --checkpoint before_web",
		Flags:    func(f *cli.Flags) { rollbackFlags(f, &r, &checkpoint, &batch) },
		Proposed: map[string]func(context.Context, *cli.IO) []string{"checkpoint": checkpointNames, "batch": batchIDs},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		if err := oneOf(&r, checkpoint, batch); err != nil {
			return err
		}
		what, err := chosen(ctx, api, &r, checkpoint, batch)
		if err != nil {
			return err
		}
		p := client.RollbackPreview{Operations: []client.PreviewedOperation{}}
		if what != "" {
			if p, err = api.PreviewRollback(ctx, r); err != nil {
				return err
			}
		}
		t := cli.Table{Facts: [][2]string{{"operations", strconv.Itoa(p.OperationsPlanned)},
			{"cannot be undone", strconv.Itoa(p.Irreversible)}}, Head: []string{"OPERATION", "STEP", "WAS", "UNDO"}}
		for _, op := range p.Operations {
			for _, s := range op.Steps {
				undo := "yes"
				switch {
				case !s.Reversible:
					undo = "no: " + s.Why
				case s.Recreates:
					undo = "made again, empty"
				}
				t.Rows = append(t.Rows, []string{op.Name, s.Name, s.Action, undo})
			}
		}
		return o.Print(p, t)
	})
}

func checkpointDiff() cli.Command {
	return remote(cli.Command{
		Use: "diff NAME|ID NAME|ID", Short: "what was done between two checkpoints and stands", Args: 2, Complete: checkpointNames,
		Example: "  orchestrator checkpoint diff before_web before_database",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		one, err := checkpointID(ctx, api, args[0])
		if err != nil {
			return err
		}
		other, err := checkpointID(ctx, api, args[1])
		if err != nil {
			return err
		}
		d, err := api.DiffCheckpoints(ctx, one, other)
		if err != nil {
			return err
		}
		same := "no"
		if d.SameInventory {
			same = "yes"
		}
		t := cli.Table{Facts: [][2]string{{"from", d.From.Name + " of " + d.From.CreatedAt.Format(rfc3339)},
			{"to", d.To.Name + " of " + d.To.CreatedAt.Format(rfc3339)}, {"operations", strconv.Itoa(d.OperationsCount)},
			{"same inventory", same}}, Head: []string{"TASK", "OPERATION"}}
		for _, op := range d.Operations {
			t.Rows = append(t.Rows, []string{op.TaskID, op.Name})
		}
		return o.Print(d, t)
	})
}

// rollbackFlags declares what names the operations of a rollback.
func rollbackFlags(f *cli.Flags, r *client.RollbackRequest, checkpoint, batch *string) {
	f.StringVar(checkpoint, "checkpoint", "", "undo what completed after this checkpoint (name or id)")
	f.StringVar(batch, "batch", "", "undo what this batch completed (name or id)")
	f.StringSliceVar(&r.OperationIDs, "operation", nil,
		"undo this operation (task id, batch/operation, or operation id); may be repeated")
	f.BoolVar(&r.Cascade, "cascade", false, "also undo what stands on the named operations")
	f.BoolVar(&r.Recreate, "recreate", false, "make deleted servers again, empty: their data and what was installed on them is lost")
}

// oneOf refuses when not exactly one of the three is given.
func oneOf(r *client.RollbackRequest, checkpoint, batch string) error {
	given := 0
	for _, one := range []bool{checkpoint != "", batch != "", len(r.OperationIDs) > 0} {
		if one {
			given++
		}
	}
	if given != 1 {
		return cli.Usage("give one of --checkpoint, --batch or --operation")
	}
	return nil
}
