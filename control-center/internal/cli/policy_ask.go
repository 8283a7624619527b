package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

func policyExplain() cli.Command {
	var q client.PolicyQuestion
	return remote(cli.Command{
		Use: "explain ACTION TYPE:NAME", Short: "say which rule decides who may do what, or which came nearest and what failed", Args: 2,
		Example: "  control-center policy explain create servers:web-01 --user dana\n  control-center policy explain update policies:x " +
			"--role admin --mfa",
		Values: map[string][]string{"role": roles},
		Flags: func(f *cli.Flags) {
			f.StringVar(&q.User, "user", "", "name or id of an account")
			f.StringSliceVar(&q.Roles, "role", nil, "role, instead of the account's; may be repeated")
			f.BoolVar(&q.MFA, "mfa", false, "with a second factor")
			f.StringVar(&q.Infra, "infra", "", "the infra that the resource is in")
			f.StringVar(&q.IP, "ip", "", "from this address; yours when absent")
			f.StringVar(&q.Time, "time", "", "at this time (ISO 8601); now when absent")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if q.User == "" && q.Roles == nil {
			return cli.Usage("say with --user or --role who would do it, such as --user dana")
		}
		q.Action, q.Resource = args[0], args[1]
		e, err := api.ExplainPolicy(ctx, q)
		if err != nil {
			return err
		}
		answer := "denied"
		if e.Allowed {
			answer = "allowed"
		}
		t := cli.Table{
			Facts: [][2]string{{"answer", answer}, {"rule", e.Rule}, {"why", e.Reason}},
			Head:  []string{"", "RULE", "OF", "SAYS", "DOES NOT FIT"},
		}
		for _, r := range e.Matched {
			t.Rows = append(t.Rows, []string{"matches", r.ID, r.Owner, showRule(r.Rule), ""})
		}
		for _, r := range e.Misses {
			var why []string
			for _, f := range r.Failed {
				why = append(why, f.Part+": "+f.Why)
			}
			t.Rows = append(t.Rows, []string{"near", r.ID, r.Owner, showRule(r.Rule), strings.Join(why, "; ")})
		}
		return o.Print(e, t)
	})
}

func policyCheck() cli.Command {
	var replaces string
	var rehearse bool
	var r client.Rehearse
	return remote(cli.Command{
		Use: "check FILE", Short: "check a draft, and rehearse it against the decisions that the audit log recorded", Args: 1,
		Example: "  control-center policy check draft.json\n  control-center policy check draft.json --replaces web_operators " +
			"--rehearse --from 2026-01-01",
		Long: "Stores nothing. A draft that could not be stored is refused as it would be then.",
		Flags: func(f *cli.Flags) {
			f.StringVar(&replaces, "replaces", "", "name or id of the policy that the draft would replace; a new one when absent")
			f.BoolVar(&rehearse, "rehearse", false, "ask the recorded decisions again with the draft")
			f.StringVar(&r.From, "from", "", "with --rehearse: not before (ISO 8601)")
			f.StringVar(&r.To, "to", "", "with --rehearse: not after (ISO 8601)")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		d, text, err := readPolicy(o, args[0])
		if err != nil {
			return err
		}
		var policy string
		if replaces != "" {
			p, err := policyNamed(ctx, api, replaces)
			if err != nil {
				return err
			}
			policy = p.ID
		}
		var asked *client.Rehearse
		if rehearse || r != (client.Rehearse{}) {
			asked = &r
		}
		c, err := api.CheckPolicy(ctx, policy, d, asked)
		if err != nil {
			return cli.Located(args[0], text, err)
		}
		t := diffTable(c.Diff)
		for _, w := range c.Warnings {
			t.Facts = append(t.Facts, [2]string{"warning", w.Pointer + " " + w.Message})
		}
		if c.Rehearsal != nil {
			rehearsalTable(&t, c.Rehearsal)
		}
		return o.Print(c, t)
	})
}

// rehearsalTable puts the outcome of a rehearsal in the place of the diff.
func rehearsalTable(t *cli.Table, r *client.Rehearsal) {
	t.Facts = append(t.Facts,
		[2]string{"would have denied", fmt.Sprintf("%d of %d", r.WouldDeny, r.Decisions)},
		[2]string{"would have allowed", fmt.Sprintf("%d of %d", r.WouldAllow, r.Decisions)})
	if r.CannotTell > 0 {
		t.Facts = append(t.Facts, [2]string{"cannot tell", fmt.Sprint(r.CannotTell)})
	}
	t.Head, t.Rows = []string{"TIME", "USER", "ACTION", "RESOURCE", "WITH THE DRAFT", "RULE"}, nil
	for _, c := range r.Changed {
		who, answer := c.Username, "denied"
		if who == "" {
			who = c.UserID
		}
		if c.Allowed {
			answer = "allowed"
		}
		t.Rows = append(t.Rows, []string{c.At.Format(time.RFC3339), who, c.Action, c.Resource, answer, c.Rule})
	}
}
