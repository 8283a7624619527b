package app

import (
	"context"

	ocli "github.com/provisioning-platform/platform/orchestrator/internal/cli"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/local"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store/driver"
)

// Root returns the command line of the binary.
func Root() cli.Command {
	program := cli.Program[Config]{
		Setup: cli.Setup{Prefix: "ORCHESTRATOR", Listen: "localhost:9090", More: map[string]string{
			"control-center": "address of the control-center, http://HOST:PORT",
			"credential":     "file with the orchestrator's credential, made by control-center init",
		}},
		Default: Default, Check: Config.check, Serve: serve, Schema: Schema(),
		Place: func(c Config) (string, driver.Settings) { return string(c.Data), c.Store },
	}
	return ocli.Root(ocli.Local{
		Serve: program.ServeCommand("run the orchestrator",
			"  orchestrator serve --data ./data --control-center http://127.0.0.1:9080 --credential ./orchestrator-credential.json"),
		Config:      program.ConfigCommand(),
		Audit:       append(program.AuditCommands("control-center", ocli.Recovery()), ocli.Subjects(program.Setup, program.AuditLog)),
		LocalServer: localServer(),
	})
}

func serve(ctx context.Context, o *cli.IO, c Config, storeFile string, unknown []string) error {
	s, err := service(c)
	if err != nil {
		return err
	}
	s.URLFile, s.Unknown, s.Stdout, s.Stderr = storeFile, unknown, o.Out, o.Err
	return s.Run(ctx)
}

// localServer is what a server of the local driver runs.
func localServer() cli.Command {
	return cli.Command{Use: local.Verb, Hidden: true, Raw: true, Args: cli.AnyArgs,
		Run: func(_ context.Context, _ *cli.IO, args []string) error {
			if code := local.ServeMain(args); code != 0 {
				return cli.Exit(code, fault.New(fault.Internal, "local.server", "the local server ended with status %d", code))
			}
			return nil
		}}
}
