package cli

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

func keys() cli.Command {
	return cli.Command{Use: "key", Short: "the keys that sign tokens", Commands: []cli.Command{keyList(), keyRotate(), keyRemove()}}
}

func keyList() cli.Command {
	return remote(cli.Command{
		Use: "list", Short: "list the signing keys: current signs, next is announced, retiring verifies what it signed",
		Example: "  control-center key list",
	},
		func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
			all, err := api.Keys(ctx)
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"KEY", "STATE", "SINCE", "USABLE FROM"}}
			for _, k := range all {
				from := ""
				if k.UsableFrom != nil {
					from = k.UsableFrom.Format(time.RFC3339)
				}
				t.Rows = append(t.Rows, []string{k.ID, k.State, k.Since.Format(time.RFC3339), from})
			}
			return o.Print(all, t)
		})
}

func keyRotate() cli.Command {
	return remote(cli.Command{
		Use: "rotate", Changes: true, Short: "sign with the next key from now on; what was signed before stays good until it expires",
		Example: "  control-center key rotate",
		Long: "Ends with 6 while the next key was announced less than ten minutes ago. A key that has leaked is removed instead, at " +
			"any time.",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		id, err := api.RotateKeys(ctx)
		if err != nil {
			return err
		}
		return o.Done(cli.Result{ID: id, Result: "rotated"}, "%s signs from now on", id)
	})
}

func keyRemove() cli.Command {
	var yes bool
	return remote(cli.Command{
		Use: "remove KEY", Changes: true, Complete: keyIDs, Short: "remove a key, and every token it signed, at once", Args: 1,
		Example: "  control-center key remove ogRZbCR5KTrPFCAfuYmCMw",
		Long: "For a key that has leaked. In place of the current key the next one signs at once; sessions go on with their refresh " +
			"tokens.",
		Flags: func(f *cli.Flags) { f.BoolVar(&yes, "yes", false, "do not ask") },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if err := o.Confirm("this ends every token that "+args[0]+" signed; go on? [yes/no] ", "yes", yes); err != nil {
			return err
		}
		if err := api.RemoveKey(ctx, args[0]); err != nil {
			return err
		}
		return o.Done(cli.Result{ID: args[0], Result: "removed"}, "removed %s", args[0])
	})
}

// keyIDs returns the ids of the signing keys, for completion.
func keyIDs(ctx context.Context, o *cli.IO) (proposals []string) {
	t := target()
	api, err := t.Client(ctx, o)
	if err != nil {
		return nil
	}
	all, err := api.Keys(ctx)
	if err != nil {
		return nil
	}
	for _, k := range all {
		proposals = append(proposals, cli.Printable(k.ID))
	}
	return proposals
}
