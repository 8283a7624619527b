package cli

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

func users() cli.Command {
	return cli.Command{Use: "user", Short: "people who may sign in",
		Commands: []cli.Command{userList(), userCreate(), userUpdate(), userDelete(), userEnrolTOTP()}}
}

func userList() cli.Command {
	var p client.Page
	var role, enabled string
	return remote(cli.Command{
		Use: "list", Short: "list users, newest first",
		Flags: func(f *cli.Flags) {
			f.StringVar(&role, "role", "", "only users with this role")
			f.StringVar(&enabled, "enabled", "", "only enabled (true) or disabled (false) users")
			cli.PageFlags(f, &p)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		filter := client.UserFilter{Role: role}
		switch enabled {
		case "":
		case "true", "false":
			on := enabled == "true"
			filter.Enabled = &on
		default:
			return cli.Usage("--enabled is true or false, not %q", enabled)
		}
		l, err := api.Users(ctx, filter, p)
		if err != nil {
			return err
		}
		t := cli.Table{Head: []string{"USERNAME", "EMAIL", "ROLES", "ENABLED", "LAST LOGIN", "ID"}}
		for _, u := range l.Rows {
			last := "never"
			if u.LastLogin != nil {
				last = u.LastLogin.Format(time.RFC3339)
			}
			on := "no"
			if u.Enabled {
				on = "yes"
			}
			t.Rows = append(t.Rows, []string{u.Username, u.Email, join(u.Roles), on, last, u.ID})
		}
		o.More(len(l.Rows), l.Extent)
		return o.Print(l.Rows, t)
	})
}

func userCreate() cli.Command {
	var n client.NewUser
	var passwordFile string
	return remote(cli.Command{
		Use: "create USERNAME", Short: "create a user", Args: 1,
		Example: "  control-center user create dana --email dana@example.com --role operator --password-file ./password",
		Flags: func(f *cli.Flags) {
			f.StringVar(&n.Email, "email", "", "e-mail address")
			f.StringSliceVar(&n.Roles, "role", nil, "role: admin, operator, developer, viewer or auditor; may be repeated")
			f.StringVar(&passwordFile, "password-file", "", "file with the first password; asked for when absent")
			f.BoolVar(&n.Disabled, "disabled", false, "create the account without letting it sign in")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		var err error
		n.Username = args[0]
		if n.Password, err = readPassword(o, passwordFile); err != nil {
			return err
		}
		u, err := api.CreateUser(ctx, n)
		if err != nil {
			return err
		}
		return o.Print(u, cli.Table{Head: []string{"USERNAME", "ROLES", "ID"}, Rows: [][]string{{u.Username, join(u.Roles), u.ID}}})
	})
}

func userUpdate() cli.Command {
	var email, passwordFile string
	var roles []string
	var enable, disable bool
	return remote(cli.Command{
		Use: "update ID", Short: "change a user; what is not given stays as it is", Args: 1,
		Flags: func(f *cli.Flags) {
			f.StringVar(&email, "email", "", "new e-mail address")
			f.StringSliceVar(&roles, "role", nil, "all roles from now on; may be repeated")
			f.StringVar(&passwordFile, "password-file", "", "file with a new password")
			f.BoolVar(&enable, "enable", false, "let the user sign in")
			f.BoolVar(&disable, "disable", false, "end the user's sessions and refuse new ones")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if enable && disable {
			return cli.Usage("--enable and --disable exclude each other")
		}
		change := client.UserChange{Roles: roles}
		if email != "" {
			change.Email = &email
		}
		if enable || disable {
			change.Enabled = &enable
		}
		if passwordFile != "" {
			password, err := readPassword(o, passwordFile)
			if err != nil {
				return err
			}
			change.Password = &password
		}
		if err := api.UpdateUser(ctx, args[0], change); err != nil {
			return err
		}
		o.Note("updated %s", args[0])
		return nil
	})
}

func userDelete() cli.Command {
	var yes bool
	return remote(cli.Command{
		Use: "delete ID", Short: "delete a user and end its sessions", Args: 1,
		Flags: func(f *cli.Flags) { f.BoolVar(&yes, "yes", false, "do not ask") },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		u, err := api.User(ctx, args[0])
		if err != nil {
			return err
		}
		if !yes {
			typed, err := o.Ask("this deletes the user for good; type its name ("+u.Username+") to go on: ", false)
			if err != nil {
				return missing(err, "--yes")
			}
			if typed != u.Username {
				return cli.Usage("that is not the name; nothing was deleted")
			}
		}
		if err := api.DeleteUser(ctx, args[0]); err != nil {
			return err
		}
		o.Note("deleted %s", u.Username)
		return nil
	})
}

func userEnrolTOTP() cli.Command {
	return remote(cli.Command{
		Use: "enrol-totp ID", Short: "give a user a new second factor; shown once", Args: 1,
		Long: "Prints the secret, its otpauth address and recovery codes. The factor is in use at once; it replaces the one there is, and the user's sessions end.",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		e, err := api.EnrolTOTP(ctx, args[0])
		if err != nil {
			return err
		}
		t := cli.Table{Rows: [][]string{{"secret", e.Secret}, {"address", e.URI}}}
		for _, c := range e.RecoveryCodes {
			t.Rows = append(t.Rows, []string{"recovery code", c})
		}
		return o.Print(e, t)
	})
}
