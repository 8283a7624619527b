package cli

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/token"
)

// PolicyReset returns the verb that takes all policies out of force on a stopped service, and the
// function that runs it on the service's store.
func PolicyReset() (cli.Command, func(context.Context, *cli.IO, *feed.Hub) error) {
	var yes bool
	c := cli.Command{
		Use: "reset", Short: "take every policy out of force on a stopped service, when policies lock everybody out",
		Long:    "The policies that the program brings become what they were at first. Nothing is deleted: enable again what is good.",
		Example: "  control-center policy reset --data ./data",
		Flags:   func(f *cli.Flags) { f.BoolVar(&yes, "yes", false, "do not ask") },
	}
	return c, func(ctx context.Context, o *cli.IO, db *feed.Hub) error {
		if err := o.Confirm("this takes every policy out of force; go on? [yes/no] ", "yes", yes); err != nil {
			return err
		}
		audit.ContextOf(ctx).Origin = token.ControlCenter
		policies := &policy.Policies{Changes: &change.Committer{DB: db}, Now: time.Now, Log: obs.Discard()}
		names, err := policies.Reset(ctx)
		if err != nil {
			return err
		}
		t := cli.Table{Head: []string{"RESET"}}
		for _, name := range names {
			t.Rows = append(t.Rows, []string{name})
		}
		if len(names) == 0 {
			o.Note("unchanged: only the policies that the program brings are in force")
		}
		return o.Print(names, t)
	}
}
