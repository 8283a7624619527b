package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
)

func policies(local []cli.Command) cli.Command {
	return cli.Command{Use: "policy", Short: "rules that allow or deny, beside the rights of roles", Commands: append([]cli.Command{
		policyList(), policyShow(), policyCreate(), policyUpdate(), policyDelete(), policyVersions(), policyDiff(), policyRevert(),
		policyExplain(), policyCheck(), policyExport(), policyImport(),
	}, local...)}
}

func policyList() cli.Command {
	var p client.Page
	var enabled string
	return remote(cli.Command{
		Use: "list", Short: "list policies, newest first", Example: "  control-center policy list --enabled true",
		Values: map[string][]string{"enabled": {"true", "false"}},
		Flags: func(f *cli.Flags) {
			f.StringVar(&enabled, "enabled", "", "only policies in force (true), or not in force (false)")
			cli.PageFlags(f, &p)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		var filter client.PolicyFilter
		if enabled != "" {
			on := enabled == "true"
			filter.Enabled = &on
		}
		l, err := api.Policies(ctx, filter, p)
		if err != nil {
			return err
		}
		t := cli.Table{Head: []string{"NAME", "VERSION", "REVISION", "ENABLED", "RULES", "UPDATED", "ID"}}
		for _, p := range l.Rows {
			t.Rows = append(t.Rows, []string{
				p.Name, p.Version, strconv.Itoa(p.Revision), yesNo(p.Enabled), strconv.Itoa(len(p.Rules)), p.UpdatedAt.Format(time.RFC3339),
				p.ID,
			})
		}
		return cli.PrintList(o, l, t)
	})
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func policyShow() cli.Command {
	var revision int
	return remote(cli.Command{
		Use: "show NAME|ID", Short: "show a policy and its rules", Args: 1, Complete: policyNames,
		Example: "  control-center policy show web_operators\n  control-center policy show web_operators --revision 1",
		Flags: func(f *cli.Flags) {
			f.IntVar(&revision, "revision", 0, "the state with this number instead of the one of now")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		p, err := policyNamed(ctx, api, args[0])
		if err != nil {
			return err
		}
		if revision != 0 {
			v, err := api.PolicyVersion(ctx, p.ID, revision)
			if err != nil {
				return err
			}
			p.Name, p.Version, p.Rules, p.Enabled, p.Revision, p.UpdatedAt = v.Name, v.Version, v.Rules, v.Enabled, v.Revision, v.CreatedAt
		}
		t := cli.Table{
			Facts: [][2]string{
				{"name", p.Name},
				{"version", p.Version},
				{"revision", strconv.Itoa(p.Revision)},
				{"enabled", yesNo(p.Enabled)},
				{"id", p.ID},
			},
			Head: []string{"RULE", "EFFECT", "RESOURCE", "ACTION", "CONDITION"},
		}
		for i, r := range p.Rules {
			t.Rows = append(t.Rows, []string{strconv.Itoa(i), r.Effect, r.Resource, join(r.Action), r.Condition})
		}
		return o.Print(p, t)
	})
}

func policyCreate() cli.Command {
	var disabled bool
	return remote(cli.Command{
		Use: "create FILE", Changes: true, Short: "create a policy from a file; it is in force at once", Args: 1,
		Long: "FILE is JSON with name, version, rules and, if need be, enabled: what `policy show -o json` and `policy export` " +
			"write. - is standard input.",
		Example: "  control-center policy create web_operators.json\n  control-center policy create - --disabled < web_operators.json",
		Flags:   func(f *cli.Flags) { f.BoolVar(&disabled, "disabled", false, "store it without putting it in force") },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		d, text, err := readPolicy(o, args[0])
		if err != nil {
			return err
		}
		if disabled {
			d.Set("enabled", false)
		}
		p, err := api.CreatePolicy(ctx, d)
		if err != nil {
			return cli.Located(args[0], text, err)
		}
		return o.Done(cli.Result{ID: p.ID, Name: p.Name, Result: "created"}, "created %s (%s)", p.Name, p.ID)
	})
}

func policyUpdate() cli.Command {
	var file, name, version string
	var enable, disable bool
	return remote(cli.Command{
		Use: "update NAME|ID", Changes: true, Complete: policyNames, Short: "change a policy; what is not given stays as it is", Args: 1,
		Long: "Refused when somebody else changed the policy between the reading and the writing of this command.",
		Example: "  control-center policy update web_operators --file web_operators.json\n  control-center policy update web_operators " +
			"--disable",
		Flags: func(f *cli.Flags) {
			f.StringVar(&file, "file", "", "JSON with the members to change; - is standard input")
			f.StringVar(&name, "name", "", "new name")
			f.StringVar(&version, "version-text", "", "what you call the new state; the last part of the version rises when absent")
			f.BoolVar(&enable, "enable", false, "put it in force")
			f.BoolVar(&disable, "disable", false, "take it out of force")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if enable && disable {
			return cli.Usage("--enable and --disable exclude each other")
		}
		d := client.PolicyDraft{}
		var text []byte
		if file != "" {
			var err error
			if d, text, err = readPolicy(o, file); err != nil {
				return err
			}
		}
		if name != "" {
			d.Set("name", name)
		}
		if version != "" {
			d.Set("version", version)
		}
		if enable || disable {
			d.Set("enabled", enable)
		}
		p, err := policyNamed(ctx, api, args[0])
		if err != nil {
			return err
		}
		if err := api.UpdatePolicy(ctx, p.ID, d, p.Revision); err != nil {
			return cli.Located(file, text, err)
		}
		return o.Done(cli.Result{ID: p.ID, Name: p.Name, Result: "updated"}, "updated %s", p.Name)
	})
}

func policyDelete() cli.Command {
	var yes bool
	return remote(cli.Command{
		Use: "delete NAME|ID", Changes: true, Complete: policyNames, Short: "delete a policy; its versions stay", Args: 1,
		Example: "  control-center policy delete web_operators",
		Flags:   func(f *cli.Flags) { f.BoolVar(&yes, "yes", false, "do not ask") },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		p, err := policyNamed(ctx, api, args[0])
		if err != nil {
			return err
		}
		if err := o.Confirm("this takes the policy out of force; type its name ("+p.Name+") to go on: ", p.Name, yes); err != nil {
			return err
		}
		if err := api.DeletePolicy(ctx, p.ID, p.Revision); err != nil {
			return err
		}
		return o.Done(
			cli.Result{ID: p.ID, Name: p.Name, Result: "deleted"},
			"deleted %s; `control-center policy revert %s %d` brings it back",
			p.Name,
			p.ID,
			p.Revision,
		)
	})
}

// policyNamed returns the policy with this name or id.
func policyNamed(ctx context.Context, api *client.Client, text string) (client.Policy, error) {
	if id.Valid(text) {
		return api.Policy(ctx, text)
	}
	l, err := api.Policies(ctx, client.PolicyFilter{Name: text}, client.Page{})
	if err != nil {
		return client.Policy{}, err
	}
	if len(l.Rows) != 1 {
		return client.Policy{}, fault.New(fault.NotFound, "cli.policy", "there is no policy %s; see: control-center policy list", text)
	}
	return l.Rows[0], nil
}

// policyNames proposes the newest policies to the shell.
var policyNames = target().Propose(func(ctx context.Context, api *client.Client, p client.Page) (names []string, err error) {
	l, err := api.Policies(ctx, client.PolicyFilter{}, p)
	for _, row := range l.Rows {
		names = append(names, cli.Printable(row.Name))
	}
	return names, err
})

// showRule returns a rule on one line.
func showRule(r client.Rule) string {
	text := fmt.Sprintf("%s %s on %s", r.Effect, strings.Join(r.Action, ","), r.Resource)
	if r.Condition != "" {
		text += " if " + r.Condition
	}
	return text
}
