package cli

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
)

// policyID returns the id of the policy with this name; an id is taken as it is, for a deleted
// policy has no name.
func policyID(ctx context.Context, api *client.Client, text string) (string, error) {
	if id.Valid(text) {
		return text, nil
	}
	p, err := policyNamed(ctx, api, text)
	return p.ID, err
}

func policyVersions() cli.Command {
	var p client.Page
	return remote(cli.Command{
		Use: "versions NAME|ID", Short: "list the states that a policy had, newest first; a deleted one by its id", Args: 1,
		Complete: policyNames,
		Example:  "  control-center policy versions web_operators",
		Flags:    func(f *cli.Flags) { cli.PageFlags(f, &p) },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		policy, err := policyID(ctx, api, args[0])
		if err != nil {
			return err
		}
		l, err := api.PolicyVersions(ctx, policy, p)
		if err != nil {
			return err
		}
		t := cli.Table{Head: []string{"REVISION", "VERSION", "NAME", "ENABLED", "RULES", "SINCE", "BY", "ACTION"}}
		for _, v := range l.Rows {
			by := v.Username
			if by == "" {
				by = v.UserID
			}
			t.Rows = append(t.Rows, []string{
				strconv.Itoa(
					v.Revision,
				), v.Version, v.Name, yesNo(v.Enabled), strconv.Itoa(len(v.Rules)), v.CreatedAt.Format(time.RFC3339), by, v.Action,
			})
		}
		return cli.PrintList(o, l, t)
	})
}

func policyDiff() cli.Command {
	var from, to int
	return remote(cli.Command{
		Use: "diff NAME|ID", Short: "show where two states of a policy differ; the last change without flags", Args: 1,
		Complete: policyNames,
		Example:  "  control-center policy diff web_operators\n  control-center policy diff web_operators --from 1 --to 3",
		Flags: func(f *cli.Flags) {
			f.IntVar(&from, "from", 0, "number of the older state; the one before the newer one when absent")
			f.IntVar(&to, "to", 0, "number of the newer state; the newest when absent")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		policy, err := policyID(ctx, api, args[0])
		if err != nil {
			return err
		}
		d, err := api.DiffPolicy(ctx, policy, from, to)
		if err != nil {
			return err
		}
		return o.Print(d, diffTable(d))
	})
}

func diffTable(d []client.PolicyDifference) cli.Table {
	t := cli.Table{Head: []string{"PLACE", "BEFORE", "AFTER"}}
	for _, x := range d {
		t.Rows = append(t.Rows, []string{x.Pointer, showValue(x.Before), showValue(x.After)})
	}
	return t
}

// showValue returns a value of a policy on one line: a text without quotes, a rule as a sentence.
func showValue(raw json.RawMessage) string {
	var text string
	var r client.Rule
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "-"
	case json.Unmarshal(raw, &text) == nil:
		return text
	case json.Unmarshal(raw, &r) == nil && r.Effect != "":
		return showRule(r)
	}
	return string(raw)
}

func policyRevert() cli.Command {
	return remote(cli.Command{
		Use: "revert NAME|ID REVISION", Changes: true,
		Short: "make a policy what it was, as a new state; this brings a deleted one back by its id", Args: 2,
		Example: "  control-center policy revert web_operators 1",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		revision, err := strconv.Atoi(args[1])
		if err != nil || revision < 1 {
			return cli.Usage("%q is no number of a state; control-center policy versions %s lists them", args[1], args[0])
		}
		policy, err := policyID(ctx, api, args[0])
		if err != nil {
			return err
		}
		p, err := api.RevertPolicy(ctx, policy, revision)
		if fault.Is(err, fault.NotFound) {
			return fault.New(fault.NotFound, "cli.policy", "%s; see: control-center policy versions %s", err, args[0])
		}
		if err != nil {
			return err
		}
		return o.Done(
			cli.Result{ID: p.ID, Name: p.Name, Result: "reverted"},
			"%s is as it was at revision %d; that is revision %d now",
			p.Name,
			revision,
			p.Revision,
		)
	})
}
