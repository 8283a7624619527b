// Package cli declares the verbs of the orchestrator's command line that talk to a running service: batches,
// workflows, tasks, checkpoints and rollback. It owns no logic of the service; serve and offline verification come
// from app, which hands them in as commands.
package cli

import (
	"context"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

// Local holds the commands that need no running service; app brings them.
type Local struct {
	Serve       cli.Command
	Config      cli.Command // config check|show
	AuditVerify cli.Command
	LocalServer cli.Command // hidden: what a server of the local driver runs
}

// Root returns the whole command line.
func Root(l Local) cli.Command {
	return cli.Command{
		Use: "orchestrator", Short: "runs provisioning work: batches, checkpoints, rollback",
		Example: "  orchestrator batch submit batch.json --watch\n  orchestrator task list --status running",
		Commands: []cli.Command{l.Serve, l.Config, batches(), workflows(), tasks(), checkpoints(), rollback(),
			{Use: "audit", Short: "the tamper-evident log", Commands: []cli.Command{l.AuditVerify}}, l.LocalServer},
	}
}

func target() *cli.Target {
	return &cli.Target{Default: "http://127.0.0.1:9090", Env: "ORCHESTRATOR_SERVER"}
}

// remote returns a command that runs with a signed-in client.
func remote(c cli.Command, run func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error) cli.Command {
	t := target()
	flags := c.Flags
	c.Flags = func(f *cli.Flags) {
		t.Declare(f)
		if flags != nil {
			flags(f)
		}
	}
	c.Run = func(ctx context.Context, o *cli.IO, args []string) error {
		api, err := t.Client(ctx, o)
		if err != nil {
			return err
		}
		return run(ctx, o, api, args)
	}
	return c
}

// page declares the paging flags of a list.
func page(f *cli.Flags, p *client.Page) {
	f.IntVar(&p.Limit, "limit", 50, "rows at most (1 to 1000)")
	f.IntVar(&p.Offset, "offset", 0, "rows to skip")
}

func more(o *cli.IO, shown, total int, p client.Page) {
	if p.Offset+shown < total {
		o.Note("%d of %d shown; the next: --offset %d", shown, total, p.Offset+shown)
	}
}

func key(f *cli.Flags, into *string) {
	f.StringVar(into, "idempotency-key", "", "repeat a submission safely: the same key gives the first answer again")
}
