package cli

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	"github.com/provisioning-platform/platform/shared/cli"
)

// initCommand returns the verb that makes a deployment; it needs no service that runs.
func initCommand() cli.Command {
	var opt bootstrap.Options
	var passwordFile string
	return cli.Command{
		Use: "init", Short: "make a data folder with keys, the first administrator and the orchestrator's credential; once",
		Long: "Prints the password (unless it came from a file), the TOTP secret and the recovery codes. They are shown this once " +
			"and stored nowhere in the clear.",
		Example: "  control-center init --data ./data\n  control-center init --data ./data --username root --email root@example.com " +
			"--password-file ./password -o json",
		Flags: func(f *cli.Flags) {
			f.StringVar(&opt.Dir, "data", "", "data folder to make")
			f.StringVar(&opt.Username, "username", "admin", "name of the first administrator")
			f.StringVar(&opt.Email, "email", "", "e-mail address of the first administrator")
			f.StringVar(&passwordFile, "password-file", "", "file with the password; generated when absent")
			f.StringVar(&opt.PeerURL, "peer-url", bootstrap.DefaultPeerURL,
				"where the orchestrator reaches the service-to-service port (tls.peer.listen)")
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
