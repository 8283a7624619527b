package app

import (
	"context"

	ccli "github.com/provisioning-platform/platform/control-center/internal/cli"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/store/driver"
)

// Root returns the command line of the binary.
func Root() cli.Command {
	program := cli.Program[Config]{
		Setup:   cli.Setup{Prefix: "CONTROL_CENTER", Listen: "localhost:9080"},
		Default: Default, Check: Config.check, Serve: serve, Schema: Schema(),
		Place: func(c Config) (string, driver.Settings) { return string(c.Data), c.Store },
	}
	return ccli.Root(ccli.Local{
		Serve: program.ServeCommand("run the control-center",
			"  control-center serve --data ./data\n  control-center serve --data ./data --listen 127.0.0.1:9080 --config "+
				"control-center.toml"),
		Config: program.ConfigCommand(),
		Audit:  program.AuditCommands("orchestrator", ccli.Recovery()),
		Policy: []cli.Command{program.StoppedCommand(ccli.PolicyReset())},
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
