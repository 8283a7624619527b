package cli_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

// TestFlags_aValueThatThereIsNotIsNoEmptyList: a service answers a role that does not exist, and an
// id of no row, with an empty list, and lowers a limit; the command line says what is wrong
// instead.
func TestFlags_aValueThatThereIsNotIsNoEmptyList(t *testing.T) {
	t.Parallel()
	const row = "01890000-0000-7000-8000-00000000000a"
	var page client.Page
	var role string
	var roles []string
	ran := false
	list := cli.Command{Use: "list", Values: map[string][]string{"role": {"admin", "viewer"}, "roles": {"admin", "viewer"}},
		Flags: func(f *cli.Flags) {
			cli.PageFlags(f, &page)
			f.StringVar(&role, "role", "", "")
			f.StringSliceVar(&roles, "roles", nil, "")
		},
		Run: func(context.Context, *cli.IO, []string) error { ran = true; return nil }}
	root := cli.Command{Use: "prog", Commands: []cli.Command{list}}
	for _, c := range []struct {
		args []string
		want string // of the refusal; empty: none
	}{
		{[]string{"--role", "king"}, "--role is one of admin, viewer, not \"king\""},
		{[]string{"--roles", "admin,king"}, "--roles is one of admin, viewer, not \"king\""},
		{[]string{"--limit", "0"}, "1 to 1000"}, {[]string{"--limit", "-1"}, "1 to 1000"}, {[]string{"--limit", "1001"}, "1 to 1000"},
		{[]string{"--limit", "x"}, "1 to 1000"},
		{[]string{"--offset", "-1"}, "from 0 to"},
		{[]string{"--after", "zzz"}, "\"zzz\""}, {[]string{"--after", row[1:]}, "no id of a row"},
		{[]string{}, ""}, {[]string{"--role", ""}, ""}, {[]string{"--after", ""}, ""},
		{[]string{"--limit", "1000", "--offset", "7", "--after", strings.ToUpper(row), "--role", "ADMIN", "--roles", "Viewer,admin"}, ""},
	} {
		ran = false
		o, _, errs := sandbox(t)
		code := cli.Main(t.Context(), root, o, append([]string{"list"}, c.args...))
		switch {
		case c.want == "" && (code != 0 || !ran):
			t.Errorf("%v ends with %d: %s", c.args, code, errs)
		case c.want != "" && (code != cli.ExitUsage || ran || !strings.Contains(errs.String(), c.want)):
			t.Errorf("%v ends with %d: %s; want %q", c.args, code, errs, c.want)
		}
	}
	if page != (client.Page{Limit: 1000, Offset: 7, After: row}) || role != "admin" || !slices.Equal(roles, []string{"viewer", "admin"}) {
		t.Errorf("%+v %q %q", page, role, roles)
	}
	o, out, _ := sandbox(t)
	if cli.Main(t.Context(), root, o, []string{"list", "--help"}); !strings.Contains(out.String(),
		"rows at most (1 to 1000) (default 50)") {
		t.Errorf("the help does not say what is taken:\n%s", out)
	}
}
