// Package cli declares the verbs of the control-center's command line: those that talk to a running
// service (sign-in, users, signing keys, the audit log), and init and the recovery from a backup,
// which need none. It owns no logic of the service; serve and offline verification come from app,
// which hands them in as commands.
package cli

import (
	"context"
	"strings"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

// Local holds the commands that need no running service; app brings them.
type Local struct {
	Serve  cli.Command
	Config cli.Command   // config check|show
	Audit  []cli.Command // audit verify|export
	Policy []cli.Command // policy reset
}

// Root returns the whole command line.
func Root(l Local) cli.Command {
	return cli.Command{
		Use: "control-center", Short: "who may do what: users, tokens, policies and the audit log",
		Example: "  control-center init --data ./data\n  control-center serve --data ./data\n  control-center auth login --username admin",
		Commands: []cli.Command{initCommand(), l.Serve, l.Config, auth(), users(), serviceAccounts(), tokens(),
			policies(l.Policy), keys(), credential(), webhooks(), subscriptions(), events(), deadLetters(), prefills(),
			auditLog(l.Audit)},
	}
}

// target returns the service that the verbs talk to.
func target() cli.Target {
	return cli.Target{Default: "http://127.0.0.1:9080", Env: "CONTROL_CENTER_SERVER", Issuer: true}
}

// remote returns a command that runs with a signed-in client.
func remote(c cli.Command, run func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error) cli.Command {
	return target().Remote(c, run)
}

func join(words []string) string { return strings.Join(words, ",") }

func webhooks() cli.Command {
	return cli.WebhookVerbs{Program: "control-center", Target: target(), Events: [2]string{"user.disabled", "login.failed"}}.Command()
}
