package cli

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
)

func servers() cli.Command {
	return cli.Command{Use: "server", Short: "the servers that stand", Commands: []cli.Command{serverList(), serverShow(), serverSSH()}}
}

// serverNames proposes the first servers.
var serverNames = target().Propose(func(ctx context.Context, api *client.Client, p client.Page) (names []string, err error) {
	l, err := api.Servers(ctx, client.ServerFilter{}, p)
	for _, s := range l.Rows {
		names = append(names, cli.Printable(s.Name)+"\t"+s.Provider)
	}
	return names, err
})

func serverList() cli.Command {
	var p client.Page
	var f client.ServerFilter
	return remote(cli.Command{
		Use: "list", Short: "list the servers that stand, by provider and name",
		Values:  map[string][]string{"state": {"up", "accepted", "listed"}},
		Example: "  orchestrator server list --provider upcloud",
		Flags: func(flags *cli.Flags) {
			flags.StringVar(&f.Infra, "infra", "", "only servers of this infra")
			flags.StringVar(&f.Provider, "provider", "", "only servers at this provider")
			flags.StringVar(&f.State, "state", "", "up, accepted or listed")
			cli.PageFlags(flags, &p)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		l, err := api.Servers(ctx, f, p)
		if err != nil {
			return err
		}
		t := cli.Table{Head: []string{"NAME", "PROVIDER", "INFRA", "STATE", "ADDRESS", "PLAN", "ZONE", "MADE BY", "UPDATED"}}
		for _, s := range l.Rows {
			t.Rows = append(t.Rows, []string{s.Name, s.Provider, s.Infra, s.State, address(s), s.Facts["plan"], s.Facts["zone"],
				maker(s), s.UpdatedAt.Format(time.RFC3339)})
		}
		return cli.PrintList(o, l, t)
	})
}

// address returns where a server is reached.
func address(s client.InventoryServer) string {
	if port := s.Facts["port"]; port != "" {
		return s.Facts["address"] + ":" + port
	}
	return s.Facts["address"]
}

// maker returns who made a server, by name when that is known.
func maker(s client.InventoryServer) string {
	switch {
	case s.MadeBy == nil:
		return ""
	case s.MadeBy.Username != "":
		return s.MadeBy.Username
	}
	return s.MadeBy.UserID
}

func serverShow() cli.Command {
	return remote(cli.Command{
		Use: "show NAME", Short: "show one server: who made it, and what is on it", Args: 1, Complete: serverNames,
		Example: "  orchestrator server show web-01",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		s, err := api.Server(ctx, args[0])
		if err != nil {
			return err
		}
		t := cli.Table{Facts: [][2]string{{"server", s.Name}, {"provider", s.Provider}, {"infra", s.Infra}, {"state", s.State},
			{"updated", s.UpdatedAt.Format(time.RFC3339)}, {"made by", maker(s)}}}
		if m := s.MadeBy; m != nil {
			t.Facts = append(t.Facts, [2]string{"task", m.TaskID}, [2]string{"batch", m.BatchID})
		}
		t.Facts = append(t.Facts, [2]string{"task services", strings.Join(s.Taskservs, ", ")})
		for _, name := range slices.Sorted(maps.Keys(s.Facts)) {
			t.Facts = append(t.Facts, [2]string{name, s.Facts[name]})
		}
		if len(s.SSH) > 0 {
			t.Facts = append(t.Facts, [2]string{"log in with", "orchestrator server ssh " + s.Name})
		}
		return o.Print(s, t)
	})
}

func serverSSH() cli.Command {
	return remote(cli.Command{
		Use: "ssh NAME [-- COMMAND…]", Short: "log in to a server, or run a command there, with the system's ssh", Args: cli.AnyArgs,
		Complete: serverNames,
		Long: "Needs the right to use the server, and to run on the orchestrator's machine, where the key is. Ends as ssh ends: with " +
			"the status of the\n" +
			"command, or 255 when there is no connection.",
		Example: "  orchestrator server ssh web-01\n  orchestrator server ssh web-01 -- uname -a",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if len(args) == 0 {
			return cli.Usage("ssh needs the name of a server; see: orchestrator server list")
		}
		s, err := api.Server(ctx, args[0])
		if err != nil {
			return err
		}
		argv, err := loginOf(s)
		if err != nil {
			return err
		}
		program := programIn(o.Getenv("PATH"), argv[0])
		if program == "" {
			return fmt.Errorf("there is no %s in PATH; install OpenSSH's client", argv[0])
		}
		err = syscall.Exec(program, append(argv, args[1:]...), o.Environ()) // returns only when it fails
		return fmt.Errorf("ssh cannot be started: %w", err)
	})
}

// programIn returns the path of a program in one of the folders of PATH; empty when there is none.
// This process becomes that program, so it starts none.
func programIn(path, name string) string {
	for _, dir := range filepath.SplitList(path) {
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && filepath.IsAbs(dir) && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return full
		}
	}
	return ""
}

// loginOf returns the argument vector with which ssh logs in to a server. It takes only the form
// that the orchestrator documents, so that no answer makes this machine run anything else.
func loginOf(s client.InventoryServer) ([]string, error) {
	v := s.SSH
	switch {
	case len(v) == 0:
		return nil, fault.New(fault.Denied, "cli.no_login",
			"how to log in to %s is not shown to you, or its provider has no way; an administrator allows it with the action use on "+
				"servers:%s", s.Name, s.Name)
	case len(v) != 5 || v[0] != "ssh" || v[1] != "-F" || v[3] != "--" || strings.HasPrefix(v[4], "-"):
		return nil, fmt.Errorf("the service says how to log in to %s in a form that this program does not know: %q", s.Name, v)
	}
	if _, err := os.Stat(v[2]); err != nil {
		return nil, fmt.Errorf("%s is a file of the orchestrator's machine and cannot be read here (%w); run this there, as its user", v[2],
			err)
	}
	return slices.Clone(v), nil
}
