package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	ccli "github.com/provisioning-platform/platform/control-center/internal/cli"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/driver"
)

// Root returns the command line of the binary.
func Root() cli.Command {
	return ccli.Root(ccli.Local{Init: initCommand(), Serve: serveCommand(), Config: configCommand(), AuditVerify: verifyCommand()})
}

// given is what flags say about the configuration.
type given struct {
	file   string
	data   string
	listen []string
	store  string
}

func (g *given) declare(f *cli.Flags) {
	f.StringVar(&g.file, "config", "", "TOML file with the configuration")
	f.StringVar(&g.data, "data", "", "data folder, made by init")
	f.StringSliceVar(&g.listen, "listen", nil, "address to listen on, HOST:PORT; may be repeated (default localhost:9080)")
	f.StringVar(&g.store, "store", "", "embedded: (default), memory: or surrealdb://user@host:port/namespace/database")
}

func (g *given) load(o *cli.IO) (Config, *config.Loaded, error) {
	flags := map[string]string{}
	for key, v := range map[string]string{"data": g.data, "store.url": g.store, "listen": strings.Join(g.listen, ",")} {
		if v != "" {
			flags[key] = v
		}
	}
	c := Default()
	loaded, err := config.Load(&c, config.Options{File: g.file, Prefix: envPrefix, Flags: flags, Env: func(name string) (string, bool) {
		v := o.Getenv(name)
		return v, v != ""
	}})
	if err != nil {
		return c, loaded, err
	}
	_, _, err = c.check()
	return c, loaded, err
}

func initCommand() cli.Command {
	var opt bootstrap.Options
	var passwordFile string
	return cli.Command{
		Use: "init", Short: "make a data folder with keys, the first administrator and the orchestrator's credential; once",
		Long:    "Prints the password (unless it came from a file), the TOTP secret and the recovery codes. They are shown this once and stored nowhere in the clear.",
		Example: "  control-center init --data ./data\n  control-center init --data ./data --username root --email root@example.com --password-file ./password -o json",
		Flags: func(f *cli.Flags) {
			f.StringVar(&opt.Dir, "data", "", "data folder to make")
			f.StringVar(&opt.Username, "username", "admin", "name of the first administrator")
			f.StringVar(&opt.Email, "email", "", "e-mail address of the first administrator")
			f.StringVar(&passwordFile, "password-file", "", "file with the password; generated when absent")
		},
		Run: func(ctx context.Context, o *cli.IO, _ []string) error {
			if opt.Dir == "" {
				return cli.Usage("the data folder is missing: give --data DIR")
			}
			if passwordFile != "" {
				var err error
				if opt.Password, err = secret.FromFile(passwordFile); err != nil {
					return err
				}
			}
			p, err := bootstrap.Init(ctx, opt, time.Now())
			if err != nil {
				return err
			}
			t := cli.Table{Rows: [][]string{{"username", p.Username}}}
			if p.Password != "" {
				t.Rows = append(t.Rows, []string{"password", p.Password})
			}
			t.Rows = append(t.Rows, []string{"totp_secret", p.TOTPSecret}, []string{"totp_uri", p.TOTPURI})
			for _, c := range p.RecoveryCodes {
				t.Rows = append(t.Rows, []string{"recovery_code", c})
			}
			t.Rows = append(t.Rows, []string{"orchestrator_credential", p.OrchestratorCredential})
			return o.Print(p, t)
		},
	}
}

func serveCommand() cli.Command {
	var g given
	return cli.Command{
		Use: "serve", Short: "run the control-center", Flags: g.declare,
		Example: "  control-center serve --data ./data\n  control-center serve --data ./data --listen 127.0.0.1:9080 --config control-center.toml",
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
			if _, _, err := check.load(o); err != nil {
				return err
			}
			o.Note("the configuration is good")
			return nil
		}},
		{Use: "show", Short: "print every value and where it comes from; secrets are masked", Flags: show.declare, Run: func(_ context.Context, o *cli.IO, _ []string) error {
			_, loaded, err := show.load(o)
			if loaded == nil {
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
			f.StringVar(&peerFile, "peer-keys", "", "file with the orchestrator's public audit keys (its DIR/keys/audit/public), to check cosignatures too")
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
	dir := string(c.Data)
	opt := audit.VerifyOptions{Dir: filepath.Join(dir, "audit")}
	var err error
	if opt.Log, err = publicKeys(filepath.Join(bootstrap.AuditKeysFolder(dir), "public")); err != nil {
		return audit.Report{}, err
	}
	if peerFile != "" {
		if opt.Peer, err = publicKeys(peerFile); err != nil {
			return audit.Report{}, err
		}
	}
	stores, err := c.Store.options(dir, urlFile, obs.Discard())
	if err != nil {
		return audit.Report{}, err
	}
	db, err := openToLook(ctx, stores)
	if err != nil {
		return audit.Report{}, err
	}
	defer func() { _ = db.Close() }()
	opt.Read = db.Read
	return audit.Verify(ctx, opt)
}

// openToLook opens the embedded store read-only; another engine serves more than one reader anyway.
func openToLook(ctx context.Context, o driver.Options) (store.DB, error) {
	if o.URL == "" || o.URL == Default().Store.URL {
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
