package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/file"
	"github.com/provisioning-platform/platform/shared/secret"
)

func tokens() cli.Command {
	return cli.Command{Use: "token", Short: "API tokens, with which machines act for you within a scope",
		Commands: []cli.Command{tokenCreate(), tokenList(), tokenShow(), tokenRotate(), tokenRevoke()}}
}

// life is a flag that says how long something lives: a duration, in which d stands for days.
type life time.Duration

// String returns the value as help shows it.
func (l *life) String() string {
	if *l == 0 {
		return ""
	}
	return time.Duration(*l).String()
}

// Type returns the word that help shows for the value.
func (l *life) Type() string { return "duration" }

// Set reads the value; its error is for people.
func (l *life) Set(text string) error {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		*l = life(time.Duration(n) * 24 * time.Hour)
		if err != nil {
			return errors.New("write 90d, or 12h")
		}
		return nil
	}
	d, err := time.ParseDuration(text)
	if *l = life(d); err != nil || d < 0 {
		return errors.New("write 90d, or 12h")
	}
	return nil
}

// keepToken hands over the text of a token, which nothing shows again: in a file of its owner only,
// or printed.
func keepToken(o *cli.IO, t client.APIToken, text secret.Text, out string) error {
	if out != "" {
		if err := file.Write(filepath.Dir(out), filepath.Base(out), []byte(text.Reveal()+"\n")); err != nil {
			return fmt.Errorf("the token was made and is lost, for it cannot be written (%w); revoke it: control-center token revoke %s",
				err, t.ID)
		}
		return o.Done(cli.Result{ID: t.ID, Name: t.Name, Result: "written"},
			"the token is in %s, readable by you only; both programs take it with --token-file; it is good until %s", out,
			t.ExpiresAt.Format(time.RFC3339))
	}
	o.Note("keep the token: nothing shows it again; it is good until %s", t.ExpiresAt.Format(time.RFC3339))
	return o.Print(map[string]string{"id": t.ID, "token": text.Reveal()},
		cli.Table{Head: []string{"ID", "TOKEN"}, Rows: [][]string{{t.ID, text.Reveal()}}})
}

// free refuses a file that is there or cannot be made, before a token is made that could not be
// kept.
func free(out string) error {
	if out == "" {
		return nil
	}
	if _, err := os.Lstat(out); err == nil {
		return cli.Usage("%s is there already, and nothing was made; name another file with --out", out)
	}
	probe, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+"-*")
	if err != nil {
		return cli.Usage("%s cannot be written, and nothing was made; name another file with --out (%s)", out, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func tokenCreate() cli.Command {
	var scope []string
	var expires life
	var out, account string
	return remote(cli.Command{
		Use: "create NAME", Changes: true, Short: "make an API token, shown once", Args: 1,
		Example: "  control-center token create nightly --scope 'batches:*=create,read' --scope 'servers:*=create,read' --expires 90d " +
			"--out ./ci-token",
		Long: "A token does what its scope names and you may do at that moment, until it expires. Each --scope is " +
			"TYPE:NAME=ACTION,ACTION in the words of policies; * stands for all. Needs a sign-in of the last five minutes, with a second " +
			"factor if you have one.",
		Flags: func(f *cli.Flags) {
			f.StringArrayVar(&scope, "scope", nil, "what it may do: TYPE:NAME=ACTION,ACTION; may be repeated")
			f.Var(&expires, "expires", "how long it is good, for example 90d or 12h; at most a year")
			f.StringVar(&account, "service-account", "", "act for this service account instead of you")
			f.StringVar(&out, "out", "", "write it to this new file, for --token-file, instead of printing it")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if len(scope) == 0 || expires == 0 {
			return cli.Usage("say with --scope what the token may do and with --expires for how long, such as --scope 'batches:*=read' " +
				"--expires 90d")
		}
		n := client.NewAPIToken{Name: args[0], ExpiresAt: time.Now().Add(time.Duration(expires))}
		for _, text := range scope {
			r, err := authz.ParseRight(text)
			if err != nil {
				return cli.Usage("--scope: %s", err)
			}
			n.Scope = append(n.Scope, r)
		}
		if account != "" {
			s, err := serviceAccountNamed(ctx, api, account)
			if err != nil {
				return err
			}
			n.Account = s.ID
		}
		if err := free(out); err != nil {
			return err
		}
		t, text, err := api.CreateAPIToken(ctx, n)
		if err != nil {
			return err
		}
		return keepToken(o, t, text, out)
	})
}

func tokenList() cli.Command {
	var p client.Page
	var owner, account string
	return remote(cli.Command{
		Use: "list", Short: "list API tokens, newest first; those that are over stay for 30 days",
		Example: "  control-center token list\n  control-center token list --user dana",
		Flags: func(f *cli.Flags) {
			f.StringVar(&owner, "user", "", "tokens of this user instead of your own")
			f.StringVar(&account, "service-account", "", "tokens of this service account")
			cli.PageFlags(f, &p)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		if owner != "" {
			u, err := userNamed(ctx, api, owner)
			if err != nil {
				return err
			}
			owner = u.ID
		}
		if account != "" {
			s, err := serviceAccountNamed(ctx, api, account)
			if err != nil {
				return err
			}
			owner = s.ID
		}
		l, err := api.APITokens(ctx, owner, p)
		if err != nil {
			return err
		}
		return cli.PrintList(o, l, tokenTable(l.Rows))
	})
}

func tokenTable(rows []client.APIToken) cli.Table {
	t := cli.Table{Head: []string{"NAME", "OWNER", "SCOPE", "STATE", "EXPIRES", "LAST USED", "ID"}}
	for _, k := range rows {
		t.Rows = append(t.Rows, []string{k.Name, k.OwnerName, scopeText(k.Scope), k.State, k.ExpiresAt.Format(time.RFC3339),
			lastUse(k.LastUsed), k.ID})
	}
	return t
}

func scopeText(s authz.Scope) string {
	words := make([]string, len(s))
	for i, r := range s {
		words[i] = r.String()
	}
	return strings.Join(words, " ")
}

func lastUse(at *time.Time) string {
	if at == nil {
		return "never"
	}
	return at.Format(time.RFC3339)
}

func tokenShow() cli.Command {
	return remote(cli.Command{
		Use: "show ID", Short: "show one API token, but not its text", Args: 1, Complete: tokenIDs,
		Example: "  control-center token show 01997b1c-0000-7000-8000-000000000001",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		t, err := api.APIToken(ctx, args[0])
		if err != nil {
			return err
		}
		if t.Reason != "" {
			o.Note("%s: %s", t.State, t.Reason)
		}
		return o.Print(t, tokenTable([]client.APIToken{t}))
	})
}

func tokenRotate() cli.Command {
	var overlap, expires life
	var out string
	return remote(cli.Command{
		Use: "rotate ID", Changes: true, Short: "make a successor of an API token; the old one stays good for a while", Args: 1,
		Complete: tokenIDs,
		Example:  "  control-center token rotate 01997b1c-0000-7000-8000-000000000001 --overlap 24h --out ./ci-token.new",
		Long: "The successor has the name, owner and scope of the old one. Put it in place within the overlap; --overlap 0s ends the " +
			"old one at once. Needs what token create needs.",
		Flags: func(f *cli.Flags) {
			overlap = life(24 * time.Hour)
			f.Var(&overlap, "overlap", "how long the old one stays good, at most 7d")
			f.Var(&expires, "expires", "how long the successor is good; as long as the old one was made for when it is left out")
			f.StringVar(&out, "out", "", "write it to this new file, for --token-file, instead of printing it")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if err := free(out); err != nil {
			return err
		}
		end := time.Time{}
		if expires != 0 {
			end = time.Now().Add(time.Duration(expires))
		}
		t, text, err := api.RotateAPIToken(ctx, args[0], time.Duration(overlap), end)
		if err != nil {
			return err
		}
		return keepToken(o, t, text, out)
	})
}

func tokenRevoke() cli.Command {
	var yes bool
	return remote(cli.Command{
		Use: "revoke ID", Changes: true, Short: "end an API token at once, and the batches that were submitted with it", Args: 1,
		Complete: tokenIDs,
		Example:  "  control-center token revoke 01997b1c-0000-7000-8000-000000000001",
		Flags:    func(f *cli.Flags) { f.BoolVar(&yes, "yes", false, "do not ask") },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if err := o.Confirm("this ends the token for good; go on? [yes/no] ", "yes", yes); err != nil {
			return err
		}
		if err := api.RevokeAPIToken(ctx, args[0]); err != nil {
			return err
		}
		return o.Done(cli.Result{ID: args[0], Result: "revoked"}, "revoked %s", args[0])
	})
}

// tokenIDs returns the ids of the own tokens, for completion.
func tokenIDs(ctx context.Context, o *cli.IO) (proposals []string) {
	t := target()
	api, err := t.Client(ctx, o)
	if err != nil {
		return nil
	}
	l, err := api.APITokens(ctx, "", client.Page{Limit: 50})
	if err != nil {
		return nil
	}
	for _, k := range l.Rows {
		proposals = append(proposals, k.ID+"\t"+cli.Printable(k.Name))
	}
	return proposals
}
