package app

import (
	"context"

	ocli "github.com/provisioning-platform/platform/orchestrator/internal/cli"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/local"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/obs"
)

// Root returns the command line of the binary.
func Root() cli.Command {
	setup := cli.Setup{Prefix: "ORCHESTRATOR", Listen: "localhost:9090", More: map[string]string{
		"control-center": "address of the control-center, http://HOST:PORT",
		"credential":     "file with the orchestrator's credential, made by control-center init",
	}}
	return ocli.Root(ocli.Local{
		Serve: cli.ServeCommand("run the orchestrator",
			"  orchestrator serve --data ./data --control-center http://127.0.0.1:9080 --credential ./orchestrator-credential.json", setup, serve),
		Config:      cli.ConfigCommand(setup, look),
		Audit:       append(cli.AuditCommands("control-center", setup, auditLogOf, recovery()), subjectsCommand(setup)),
		LocalServer: localServer(),
	})
}

func serve(ctx context.Context, o *cli.IO, s *cli.Setup) error {
	c := Default()
	loaded, err := load(o, s, &c)
	if err != nil {
		return err
	}
	run, err := service(c)
	if err != nil {
		return err
	}
	run.URLFile, run.Unknown, run.Stdout, run.Stderr = s.StoreFile(o), loaded.Unknown, o.Out, o.Err
	return run.Run(ctx)
}

// load reads the configuration and refuses all that serve could not work with.
func load(o *cli.IO, s *cli.Setup, c *Config) (*config.Loaded, error) {
	return s.Load(o, c, func(problems *config.Problems) { c.check(s.StoreFile(o), problems) })
}

func look(o *cli.IO, s *cli.Setup, check bool) (*config.Loaded, error) {
	c := Default()
	if check {
		return load(o, s, &c)
	}
	return s.Load(o, &c, nil)
}

// auditLogOf says where the log is; it needs no more of the configuration than the data folder and the store.
func auditLogOf(o *cli.IO, s *cli.Setup) (cli.AuditLog, error) {
	c := Default()
	if _, err := s.Load(o, &c, nil); err != nil {
		return cli.AuditLog{}, err
	}
	if c.Data == "" {
		return cli.AuditLog{}, cli.Usage("the data folder is missing: give --data DIR")
	}
	dir := string(c.Data)
	stores, err := c.Store.Options(dir, s.StoreFile(o), Schema(), obs.Discard())
	return cli.AuditLog{Dir: instance.Folder(dir).Audit(), Keys: instance.Folder(dir).AuditPublic(), Store: stores}, err
}

// localServer is what a server of the local driver runs.
func localServer() cli.Command {
	return cli.Command{Use: local.Verb, Hidden: true, Raw: true, Args: cli.AnyArgs, Run: func(_ context.Context, _ *cli.IO, args []string) error {
		if code := local.ServeMain(args); code != 0 {
			return cli.Exit(code, fault.New(fault.Internal, "local.server", "the local server ended with status %d", code))
		}
		return nil
	}}
}
