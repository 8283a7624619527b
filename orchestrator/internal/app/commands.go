package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	ocli "github.com/provisioning-platform/platform/orchestrator/internal/cli"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/local"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/driver"
)

// Root returns the command line of the binary.
func Root() cli.Command {
	return ocli.Root(ocli.Local{
		Serve: serveCommand(), Config: configCommand(), AuditVerify: verifyCommand(),
		LocalServer: cli.Command{Use: local.Verb, Hidden: true, Raw: true, Args: cli.AnyArgs, Run: func(_ context.Context, _ *cli.IO, args []string) error {
			if code := local.ServeMain(args); code != 0 {
				return cli.Exit(code, fault.New(fault.Internal, "local.server", "the local server ended with status %d", code))
			}
			return nil
		}},
	})
}

// given is what flags say about the configuration.
type given struct {
	file, data, store, controlCenter, credential string
	listen                                       []string
}

func (g *given) declare(f *cli.Flags) {
	f.StringVar(&g.file, "config", "", "TOML file with the configuration")
	f.StringVar(&g.data, "data", "", "data folder; made when it does not exist")
	f.StringSliceVar(&g.listen, "listen", nil, "address to listen on, HOST:PORT; may be repeated (default localhost:9090)")
	f.StringVar(&g.store, "store", "", "embedded: (default), memory: or surrealdb://user@host:port/namespace/database")
	f.StringVar(&g.controlCenter, "control-center", "", "address of the control-center, http://HOST:PORT")
	f.StringVar(&g.credential, "credential", "", "file with the orchestrator's credential, made by control-center init")
}

func (g *given) load(o *cli.IO) (Config, *config.Loaded, error) {
	flags := map[string]string{}
	for key, v := range map[string]string{"data": g.data, "store.url": g.store, "listen": strings.Join(g.listen, ","),
		"control_center": g.controlCenter, "credential": g.credential} {
		if v != "" {
			flags[key] = v
		}
	}
	c := Default()
	loaded, err := config.Load(&c, config.Options{File: g.file, Prefix: envPrefix, Flags: flags, Env: func(name string) (string, bool) {
		v := o.Getenv(name)
		return v, v != ""
	}})
	return c, loaded, err
}

func serveCommand() cli.Command {
	var g given
	return cli.Command{
		Use: "serve", Short: "run the orchestrator", Flags: g.declare,
		Example: "  orchestrator serve --data ./data --control-center http://127.0.0.1:9080 --credential ./orchestrator-credential.json",
		Run: func(ctx context.Context, o *cli.IO, _ []string) error {
			c, _, err := g.load(o)
			if err == nil {
				err = Serve(ctx, Options{Config: c, URLFile: o.Getenv(envPrefix + "_STORE_FILE"), Stdout: o.Out, Stderr: o.Err})
			}
			if err != nil && !fault.Is(err, fault.Invalid) {
				return cli.Exit(cli.ExitFailed, err) // a program that cannot start ends with 1, whatever kept it from it
			}
			return err
		},
	}
}

func configCommand() cli.Command {
	var check, show given
	return cli.Command{Use: "config", Short: "look at the configuration", Commands: []cli.Command{
		{Use: "check", Short: "say whether the configuration is good", Flags: check.declare, Run: func(_ context.Context, o *cli.IO, _ []string) error {
			c, _, err := check.load(o)
			if err == nil {
				_, _, err = c.check()
			}
			if err != nil {
				return err
			}
			o.Note("the configuration is good")
			return nil
		}},
		{Use: "show", Short: "print every value and where it comes from; secrets are masked", Flags: show.declare, Run: func(_ context.Context, o *cli.IO, _ []string) error {
			_, loaded, err := show.load(o)
			if err != nil {
				return err
			}
			return loaded.Show(o.Out)
		}},
	}}
}

func verifyCommand() cli.Command {
	var g given
	var peerFile string
	return cli.Command{
		Use: "verify", Short: "verify the stored log offline, with the data folder alone",
		Long: "Computes the log again from its entries and compares it with every signed head in the data folder. Changes nothing. Stop the service first, or verify a copy.",
		Flags: func(f *cli.Flags) {
			g.declare(f)
			f.StringVar(&peerFile, "peer-keys", "", "file with the control-center's public audit keys (its DIR/keys/audit/public), to check cosignatures too")
		},
		Run: func(ctx context.Context, o *cli.IO, _ []string) error {
			c, _, err := g.load(o)
			if err != nil {
				return err
			}
			report, err := verify(ctx, c, o.Getenv(envPrefix+"_STORE_FILE"), peerFile)
			if err != nil {
				return err
			}
			if err := o.Print(report, cli.Table{Rows: [][]string{{"verdict", string(report.Verdict)}, {"log", report.Origin}, {"report", report.Text}}}); err != nil || report.OK {
				return err
			}
			return cli.Exit(cli.ExitUnverified, fault.New(fault.Conflict, "audit.unverified", "the log does not verify: %s", report.Text))
		},
	}
}

func verify(ctx context.Context, c Config, urlFile, peerFile string) (audit.Report, error) {
	if c.Data == "" {
		return audit.Report{}, cli.Usage("the data folder is missing: give --data DIR")
	}
	dir := string(c.Data)
	opt := audit.VerifyOptions{Dir: filepath.Join(dir, auditFolder)}
	var err error
	if opt.Log, err = publicKeys(filepath.Join(dir, keysFolder, auditFolder, "public")); err != nil {
		return audit.Report{}, err
	}
	if peerFile != "" {
		if opt.Peer, err = publicKeys(peerFile); err != nil {
			return audit.Report{}, err
		}
	}
	stores, err := c.Store.Options(dir, urlFile, Schema(), obs.Discard())
	if err != nil {
		return audit.Report{}, err
	}
	db, err := openToRead(ctx, stores)
	if err != nil {
		return audit.Report{}, err
	}
	defer func() { _ = db.Close() }()
	opt.Read = db.Read
	return audit.Verify(ctx, opt)
}

// openToRead opens the store without changing it; a server's store is opened as ever and only read.
func openToRead(ctx context.Context, o driver.Options) (store.DB, error) {
	if o.URL == "embedded:" {
		return driver.OpenReadOnly(o.Dir, o.Schema)
	}
	return driver.Open(ctx, o)
}

func publicKeys(path string) (audit.Public, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return audit.Public{}, err
	}
	return audit.ParsePublic(string(b))
}
