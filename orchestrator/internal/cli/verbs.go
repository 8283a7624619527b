// Package cli declares the verbs of the orchestrator's command line: those that talk to a running
// service (batches, workflows, tasks, state, checkpoints, rollback, webhooks, live events), and its
// parts of a recovery from a backup, which need none. It owns no logic of the service; serve and
// offline verification come from app, which hands them in as commands.
package cli

import (
	"context"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

// Local holds the commands that need no running service; app brings them.
type Local struct {
	Serve       cli.Command
	Config      cli.Command   // config check|show
	Audit       []cli.Command // audit verify|export
	LocalServer cli.Command   // hidden: what a server of the local driver runs
}

// Root returns the whole command line.
func Root(l Local) cli.Command {
	return cli.Command{
		Use: "orchestrator", Short: "runs provisioning work: batches, checkpoints, rollback",
		Example: "  orchestrator batch submit batch.json --watch\n  orchestrator task list --status running",
		Commands: []cli.Command{l.Serve, l.Config, status(), batches(), workflows(), tasks(), servers(), states(), checkpoints(),
			rollback(), webhooks(), watchEvents(),
			{Use: "audit", Short: "the tamper-evident log", Commands: l.Audit}, l.LocalServer},
	}
}

// target is the service that the verbs talk to.
func target() cli.Target {
	return cli.Target{Default: "http://127.0.0.1:9090", Env: "ORCHESTRATOR_SERVER"}
}

// remote returns a command that runs with a signed-in client.
func remote(c cli.Command, run func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error) cli.Command {
	return target().Remote(c, run)
}

func webhooks() cli.Command {
	return cli.WebhookVerbs{Program: "orchestrator", Target: target(), Events: [2]string{"task.failed", "batch.completed"}}.Command()
}
