package cli

import (
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
)

func users() cli.Command {
	return cli.Command{Use: "user", Short: "people who may sign in",
		Commands: []cli.Command{userList(), userCreate(), userUpdate(), userDelete(), userEnrolTOTP()}}
}

func userList() cli.Command {
	var p client.Page
	var role, enabled string
	return remote(cli.Command{
		Use: "list", Short: "list users, newest first", Example: "  control-center user list --role operator --enabled true",
		Values: map[string][]string{"role": roles, "enabled": {"true", "false"}},
		Flags: func(f *cli.Flags) {
			f.StringVar(&role, "role", "", "only users with this role")
			f.StringVar(&enabled, "enabled", "", "only enabled (true) or disabled (false) users")
			cli.PageFlags(f, &p)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		filter := client.UserFilter{Role: role}
		if enabled != "" {
			on := enabled == "true"
			filter.Enabled = &on
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
		return cli.PrintList(o, l, t)
	})
}

func userCreate() cli.Command {
	var n client.NewUser
	var passwordFile string
	return remote(cli.Command{
		Use: "create USERNAME", Changes: true, Short: "create a user", Args: 1, Values: map[string][]string{"role": roles},
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
		if n.Password, err = o.Password("password: ", passwordFile, "--password-file"); err != nil {
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
	var all []string
	var enable, disable bool
	return remote(cli.Command{
		Use: "update NAME|ID", Changes: true, Complete: userNames, Short: "change a user; what is not given stays as it is", Args: 1,
		Values:  map[string][]string{"role": roles},
		Example: "  control-center user update dana --role operator --role auditor\n  control-center user update dana --disable",
		Flags: func(f *cli.Flags) {
			f.StringVar(&email, "email", "", "new e-mail address")
			f.StringSliceVar(&all, "role", nil, "all roles from now on; may be repeated")
			f.StringVar(&passwordFile, "password-file", "", "file with a new password")
			f.BoolVar(&enable, "enable", false, "let the user sign in")
			f.BoolVar(&disable, "disable", false, "end the user's sessions and refuse new ones")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if enable && disable {
			return cli.Usage("--enable and --disable exclude each other")
		}
		change := client.UserChange{Roles: all}
		if email != "" {
			change.Email = &email
		}
		if enable || disable {
			change.Enabled = &enable
		}
		if passwordFile != "" {
			password, err := o.Password("password: ", passwordFile, "--password-file")
			if err != nil {
				return err
			}
			change.Password = &password
		}
		u, err := userNamed(ctx, api, args[0])
		if err != nil {
			return err
		}
		if same(u, change) {
			return o.Done(cli.Result{ID: u.ID, Name: u.Username, Result: "unchanged"}, "unchanged: %s is like that already", u.Username)
		}
		if err := api.UpdateUser(ctx, u.ID, change); err != nil {
			return err
		}
		return o.Done(cli.Result{ID: u.ID, Name: u.Username, Result: "updated"}, "updated %s", u.Username)
	})
}

func userDelete() cli.Command {
	var yes bool
	return remote(cli.Command{
		Use: "delete NAME|ID", Changes: true, Complete: userNames, Short: "delete a user and end its sessions", Args: 1,
		Example: "  control-center user delete dana",
		Flags:   func(f *cli.Flags) { f.BoolVar(&yes, "yes", false, "do not ask") },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		u, err := userNamed(ctx, api, args[0])
		if err != nil {
			return err
		}
		if err := o.Confirm("this deletes the user for good; type its name ("+u.Username+") to go on: ", u.Username, yes); err != nil {
			return err
		}
		if err := api.DeleteUser(ctx, u.ID); err != nil {
			return err
		}
		return o.Done(cli.Result{ID: u.ID, Name: u.Username, Result: "deleted"}, "deleted %s", u.Username)
	})
}

func userEnrolTOTP() cli.Command {
	return remote(cli.Command{
		Use: "enrol-totp NAME|ID", Changes: true, Complete: userNames, Short: "give a user a new second factor; shown once", Args: 1,
		Example: "  control-center user enrol-totp dana",
		Long: "Prints the secret, its otpauth address and recovery codes. The factor is in use at once; it replaces the one there " +
			"is, and the user's sessions end.",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		u, err := userNamed(ctx, api, args[0])
		if err != nil {
			return err
		}
		e, err := api.EnrolTOTP(ctx, u.ID)
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

// roles are the names that --role takes.
var roles = []string{"admin", "operator", "developer", "viewer", "auditor"}

// userNamed returns the account with that user name or id.
func userNamed(ctx context.Context, api *client.Client, text string) (client.User, error) {
	if id.Valid(text) {
		return api.User(ctx, text)
	}
	l, err := api.Users(ctx, client.UserFilter{Username: text}, client.Page{})
	if err != nil {
		return client.User{}, err
	}
	if len(l.Rows) != 1 {
		return client.User{}, fault.New(fault.NotFound, "cli.user", "there is no user %s; see: control-center user list", text)
	}
	return l.Rows[0], nil
}

// same says whether a change leaves the account as it is. A password is always a change.
func same(u client.User, ch client.UserChange) bool {
	sorted := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	return ch.Password == nil && (ch.Email == nil || *ch.Email == u.Email) && (ch.Enabled == nil || *ch.Enabled == u.Enabled) &&
		(ch.Roles == nil || slices.Equal(sorted(ch.Roles), sorted(u.Roles)))
}

// userNames returns the names of the newest accounts, for completion.
func userNames(ctx context.Context, o *cli.IO) (proposals []string) {
	t := target()
	api, err := t.Client(ctx, o)
	if err != nil {
		return nil
	}
	l, err := api.Users(ctx, client.UserFilter{}, client.Page{Limit: 50})
	if err != nil {
		return nil
	}
	for _, u := range l.Rows {
		proposals = append(proposals, cli.Printable(u.Username))
	}
	return proposals
}
