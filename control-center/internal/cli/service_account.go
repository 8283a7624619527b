package cli

import (
	"context"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
)

func serviceAccounts() cli.Command {
	return cli.Command{Use: "service-account", Short: "accounts of machines: roles and API tokens, no password", Commands: []cli.Command{
		serviceAccountCreate(), serviceAccountList(), serviceAccountShow(), serviceAccountUpdate(), serviceAccountDelete()}}
}

// ownerID returns the id of the person named by --owner; nil when nobody is named.
func ownerID(ctx context.Context, api *client.Client, name string) (*string, error) {
	if name == "" {
		return nil, nil
	}
	u, err := userNamed(ctx, api, name)
	return &u.ID, err
}

func serviceAccountTable(rows []client.ServiceAccount) cli.Table {
	t := cli.Table{Head: []string{"NAME", "ROLES", "ENABLED", "OWNER", "DESCRIPTION", "ID"}}
	for _, s := range rows {
		on := "no"
		if s.Enabled {
			on = "yes"
		}
		owner := s.OwnerName
		if s.OwnerState != "enabled" { // it goes on all the same
			owner += " (" + s.OwnerState + ")"
		}
		t.Rows = append(t.Rows, []string{s.Name, join(s.Roles), on, owner, s.Description, s.ID})
	}
	return t
}

func serviceAccountCreate() cli.Command {
	var in client.ServiceAccountInput
	var owner, description string
	return remote(cli.Command{
		Use: "create NAME", Changes: true, Short: "create a service account", Args: 1, Values: map[string][]string{"role": roles},
		Example: "  control-center service-account create ci --role developer --owner dana --description 'builds of the web team'",
		Flags: func(f *cli.Flags) {
			f.StringSliceVar(&in.Roles, "role", nil, "role: admin, operator, developer, viewer or auditor; may be repeated")
			f.StringVar(&owner, "owner", "", "user who answers for it; you when left out")
			f.StringVar(&description, "description", "", "what it is for")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) (err error) {
		if len(in.Roles) == 0 {
			return cli.Usage("say with --role what it may do, such as --role developer")
		}
		if in.Owner, err = ownerID(ctx, api, owner); err != nil {
			return err
		}
		in.Name, in.Description = args[0], &description
		s, err := api.CreateServiceAccount(ctx, in)
		if err != nil {
			return err
		}
		o.Note("it acts by API tokens: control-center token create NAME --service-account %s --scope … --expires …", cli.Printable(s.Name))
		return o.Print(s, serviceAccountTable([]client.ServiceAccount{s}))
	})
}

func serviceAccountList() cli.Command {
	var p client.Page
	return remote(cli.Command{
		Use: "list", Short: "list service accounts, newest first", Example: "  control-center service-account list",
		Flags: func(f *cli.Flags) { cli.PageFlags(f, &p) },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		l, err := api.ServiceAccounts(ctx, "", p)
		if err != nil {
			return err
		}
		return cli.PrintList(o, l, serviceAccountTable(l.Rows))
	})
}

func serviceAccountShow() cli.Command {
	return remote(cli.Command{
		Use: "show NAME|ID", Short: "show one service account", Args: 1, Complete: serviceAccountNames,
		Example: "  control-center service-account show ci",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		s, err := serviceAccountNamed(ctx, api, args[0])
		if err != nil {
			return err
		}
		return o.Print(s, serviceAccountTable([]client.ServiceAccount{s}))
	})
}

func serviceAccountUpdate() cli.Command {
	var in client.ServiceAccountInput
	var owner, description string
	var enable, disable bool
	return remote(cli.Command{
		Use: "update NAME|ID", Changes: true, Short: "change a service account; what is not given stays as it is", Args: 1,
		Complete: serviceAccountNames, Values: map[string][]string{"role": roles},
		Example: "  control-center service-account update ci --role viewer\n  control-center service-account update ci --disable",
		Flags: func(f *cli.Flags) {
			f.StringSliceVar(&in.Roles, "role", nil, "all roles from now on; may be repeated")
			f.StringVar(&owner, "owner", "", "user who answers for it from now on")
			f.StringVar(&description, "description", "", "what it is for")
			f.BoolVar(&enable, "enable", false, "let it act; its old tokens stay revoked")
			f.BoolVar(&disable, "disable", false, "revoke its tokens and refuse new ones")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) (err error) {
		if enable && disable {
			return cli.Usage("--enable and --disable exclude each other")
		}
		if description != "" {
			in.Description = &description
		}
		if enable || disable {
			in.Enabled = &enable
		}
		if in.Owner, err = ownerID(ctx, api, owner); err != nil {
			return err
		}
		s, err := serviceAccountNamed(ctx, api, args[0])
		if err != nil {
			return err
		}
		if err := api.UpdateServiceAccount(ctx, s.ID, in); err != nil {
			return err
		}
		return o.Done(cli.Result{ID: s.ID, Name: s.Name, Result: "updated"}, "updated %s", s.Name)
	})
}

func serviceAccountDelete() cli.Command {
	var yes bool
	return remote(cli.Command{
		Use: "delete NAME|ID", Changes: true, Short: "delete a service account and revoke its tokens", Args: 1,
		Complete: serviceAccountNames, Example: "  control-center service-account delete ci",
		Flags: func(f *cli.Flags) { f.BoolVar(&yes, "yes", false, "do not ask") },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		s, err := serviceAccountNamed(ctx, api, args[0])
		if err != nil {
			return err
		}
		if err := o.Confirm("this deletes the service account for good; type its name ("+s.Name+") to go on: ", s.Name, yes); err != nil {
			return err
		}
		if err := api.DeleteServiceAccount(ctx, s.ID); err != nil {
			return err
		}
		return o.Done(cli.Result{ID: s.ID, Name: s.Name, Result: "deleted"}, "deleted %s", s.Name)
	})
}

// serviceAccountNamed returns the service account with that name or id.
func serviceAccountNamed(ctx context.Context, api *client.Client, text string) (client.ServiceAccount, error) {
	if id.Valid(text) {
		return api.ServiceAccount(ctx, text)
	}
	l, err := api.ServiceAccounts(ctx, text, client.Page{})
	if err != nil {
		return client.ServiceAccount{}, err
	}
	if len(l.Rows) != 1 {
		return client.ServiceAccount{}, fault.New(fault.NotFound, "cli.service_account",
			"there is no service account %s; see: control-center service-account list", text)
	}
	return l.Rows[0], nil
}

// serviceAccountNames returns the names of the newest service accounts, for completion.
func serviceAccountNames(ctx context.Context, o *cli.IO) (proposals []string) {
	t := target()
	api, err := t.Client(ctx, o)
	if err != nil {
		return nil
	}
	l, err := api.ServiceAccounts(ctx, "", client.Page{Limit: 50})
	if err != nil {
		return nil
	}
	for _, s := range l.Rows {
		proposals = append(proposals, cli.Printable(s.Name))
	}
	return proposals
}
