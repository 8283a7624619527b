package app

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	ccli "github.com/provisioning-platform/platform/control-center/internal/cli"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/obs"
)

// Root returns the command line of the binary.
func Root() cli.Command {
	setup := cli.Setup{Prefix: "CONTROL_CENTER", Listen: "localhost:9080"}
	return ccli.Root(ccli.Local{
		Init: initCommand(),
		Serve: cli.ServeCommand("run the control-center",
			"  control-center serve --data ./data\n  control-center serve --data ./data --listen 127.0.0.1:9080 --config control-center.toml", setup, serve),
		Config: cli.ConfigCommand(setup, look),
		Audit:  cli.AuditCommands("orchestrator", setup, auditLogOf, recovery()),
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

// load reads the configuration and refuses settings that serve refuses.
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

// auditLogOf returns where the audit log is. It reads only the data folder and the store from the
// configuration.
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
				if opt.Password, err = cli.SecretFile(passwordFile); err != nil {
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
