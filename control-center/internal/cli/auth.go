package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
)

func auth() cli.Command {
	return cli.Command{Use: "auth", Short: "sign in and out", Commands: []cli.Command{login(), logout(), whoami()}}
}

func login() cli.Command {
	t := target()
	var username, passwordFile, code string
	return cli.Command{
		Use: "login", Short: "sign in and save the session for both binaries",
		Long: "Asks for what is not given. The password is never taken from an argument; the code is good for one use, so it may be.",
		Example: "  control-center auth login --username admin\n  control-center auth login --username admin --password-file ./password " +
			"--mfa-code 123456\n  control-center auth login --server https://platform.example.com:9080 --ca-file ./ca.pem",
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
			password, err := o.Password("password: ", passwordFile, "--password-file")
			if err != nil {
				return err
			}
			if code == "" { // The code is asked for first, because an attempt without it would count as one.
				if code, err = o.Ask("code of your authenticator (empty when you have none): ", false); err != nil &&
					!errors.Is(err, cli.ErrNoTerminal) {
					return err
				}
			}
			api, err := t.Open(o)
			if err != nil {
				return err
			}
			session, err := api.Login(ctx, username, password, code)
			if fault.CodeOf(err) == "auth.mfa_required" {
				return cli.Exit(cli.ExitNotSignedIn,
					fault.New(fault.Unauthenticated, "auth.mfa_required",
						"this account needs a code of its authenticator; give --mfa-code"))
			}
			if err != nil {
				return err
			}
			saved := cli.SignInOf(server, username, session)
			if saved.CAFile, err = t.CAFile(o); err != nil {
				return err
			}
			if err := o.SaveSignIn(saved); err != nil {
				return err
			}
			return o.Done(cli.Result{ID: session.User.ID, Name: session.User.Username, Result: "signed in"},
				"signed in as %s (%s) until %s", session.User.Username, join(session.User.Roles), session.ExpiresAt.Format(time.RFC3339))
		},
	}
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
		Use: "logout", Short: "end the saved session everywhere", Example: "  control-center auth logout", Flags: t.Declare,
		Run: func(ctx context.Context, o *cli.IO, _ []string) error {
			api, err := t.Client(ctx, o)
			if fault.CodeOf(err) == "cli.signed_out" {
				return err
			}
			if err == nil {
				err = api.Logout(ctx)
			}
			if err != nil && !fault.Is(err, fault.Unauthenticated) { // A session that is over needs no ending.
				return fmt.Errorf("the session is still valid: %w", err)
			}
			if err := o.DropSignIn(); err != nil {
				return err
			}
			return o.Done(cli.Result{Result: "signed out"}, "signed out")
		},
	}
}

func whoami() cli.Command {
	return remote(cli.Command{
		Use: "whoami", Short: "ask the control-center who is signed in, as what and until when",
		Long:    "Ends with 4 when the session is over, whatever is saved here.",
		Example: "  control-center auth whoami -o json",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		m, err := api.Me(ctx)
		if err != nil {
			return err
		}
		if m.Token != nil {
			return o.Print(m, cli.Table{Facts: [][2]string{{"user", m.Username}, {"id", m.ID}, {"roles", join(m.Roles)},
				{"API token", m.Token.Name}, {"scope", scopeText(m.Token.Scope)}, {"control-center", api.Base},
				{"token until", m.Token.ExpiresAt.Format(time.RFC3339)}}})
		}
		factor := "no"
		if m.Session.ACR == "aal2" {
			factor = "yes"
		}
		return o.Print(m, cli.Table{Facts: [][2]string{{"user", m.Username}, {"id", m.ID}, {"roles", join(m.Roles)},
			{"second factor", factor}, {"control-center", api.Base},
			{"signed in", m.Session.AuthTime.Format(time.RFC3339)}, {"token until", m.Session.ExpiresAt.Format(time.RFC3339)}}})
	})
}
