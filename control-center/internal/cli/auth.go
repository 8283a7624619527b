package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
)

func auth() cli.Command {
	return cli.Command{Use: "auth", Short: "sign in and out", Commands: []cli.Command{login(), logout(), whoami()}}
}

func login() cli.Command {
	t := target()
	var username, passwordFile, code string
	return cli.Command{
		Use: "login", Short: "sign in and save the session for both binaries",
		Long:    "Asks for what is not given. The password is never taken from an argument; the code is good for one use, so it may be.",
		Example: "  control-center auth login --username admin\n  control-center auth login --username admin --password-file ./password --mfa-code 123456",
		Flags: func(f *cli.Flags) {
			t.Declare(f)
			f.StringVar(&username, "username", "", "user name")
			f.StringVar(&passwordFile, "password-file", "", "file with the password")
			f.StringVar(&code, "mfa-code", "", "six digits of the authenticator, or a recovery code")
		},
		Run: func(ctx context.Context, o *cli.IO, _ []string) error {
			server := t.Address(o)
			if username == "" {
				var err error
				if username, err = o.Ask("user name: ", false); err != nil {
					return missing(err, "--username")
				}
			}
			password, err := readPassword(o, passwordFile)
			if err != nil {
				return err
			}
			api := &client.Client{Base: server}
			session, err := api.Login(ctx, username, password, code)
			if code == "" && fault.CodeOf(err) == "auth.mfa_required" {
				if code, err = o.Ask("code of your authenticator: ", false); err != nil {
					return cli.Exit(cli.ExitNotSignedIn, fault.New(fault.Unauthenticated, "auth.mfa_required", "this account needs a code of its authenticator; give --mfa-code"))
				}
				session, err = api.Login(ctx, username, password, code)
			}
			if err != nil {
				return err
			}
			if err := o.SaveSignIn(cli.SignInOf(server, username, session)); err != nil {
				return err
			}
			o.Note("signed in as %s (%s) until %s", session.User.Username, join(session.User.Roles), session.ExpiresAt.Format(time.RFC3339))
			return nil
		},
	}
}

// readPassword reads from the file, or asks.
func readPassword(o *cli.IO, path string) (secret.Text, error) {
	if path != "" {
		return secret.FromFile(path)
	}
	line, err := o.Ask("password: ", true)
	if err != nil {
		return secret.Text{}, missing(err, "--password-file")
	}
	return secret.New(line), nil
}

func missing(err error, flag string) error {
	if errors.Is(err, cli.ErrNoTerminal) {
		return cli.Usage("%s is needed when there is no terminal to ask on", flag)
	}
	return err
}

func logout() cli.Command {
	t := target()
	return cli.Command{
		Use: "logout", Short: "end the saved session everywhere", Flags: t.Declare,
		Run: func(ctx context.Context, o *cli.IO, _ []string) error {
			api, err := t.Client(ctx, o)
			if fault.CodeOf(err) == "cli.signed_out" {
				return err
			}
			if err == nil {
				err = api.Logout(ctx)
			}
			if err != nil && !fault.Is(err, fault.Unauthenticated) { // what is over already needs no ending
				return fmt.Errorf("the session is still valid: %w", err)
			}
			if err := o.DropSignIn(); err != nil {
				return err
			}
			o.Note("signed out")
			return nil
		},
	}
}

func whoami() cli.Command {
	return cli.Command{
		Use: "whoami", Short: "show who is signed in, where and until when",
		Run: func(_ context.Context, o *cli.IO, _ []string) error {
			s, err := o.LoadSignIn()
			if err != nil {
				return err
			}
			shown := struct {
				Server    string    `json:"server"`
				Username  string    `json:"username"`
				ExpiresAt time.Time `json:"expires_at"`
				Renewable time.Time `json:"renewable_until,omitzero"`
			}{s.Server, s.Username, s.ExpiresAt, s.RefreshExpiresAt}
			return o.Print(shown, cli.Table{Head: []string{"USER", "CONTROL-CENTER", "EXPIRES"},
				Rows: [][]string{{s.Username, s.Server, s.ExpiresAt.Format(time.RFC3339)}}})
		},
	}
}
