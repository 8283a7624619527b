package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

// maxPolicyFile is the most that is read of a file, in bytes; the service takes less.
const maxPolicyFile = 4 << 20

// given are the members of a policy that only the service sets. readPolicy leaves them out, so that
// what show writes can be sent back.
var given = []string{"id", "created_at", "revision", "updated_at"}

// readPolicy reads a policy from a file, or from standard input when path is "-".
func readPolicy(o *cli.IO, path string) (d client.PolicyDraft, text []byte, err error) {
	in := o.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return d, nil, cli.Usage("the file cannot be read: %s", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	if text, err = io.ReadAll(io.LimitReader(in, maxPolicyFile)); err != nil {
		return d, nil, err
	}
	if err := cli.CheckJSON(path, text); err != nil {
		return d, nil, err
	}
	if err := json.Unmarshal(text, &d); err != nil || d == nil {
		return d, nil, cli.Usage(`%s is no policy: it must be an object {"name": …, "version": …, "rules": […]}`, path)
	}
	for _, member := range given {
		delete(d, member)
	}
	return d, text, nil
}

// policyFile is a policy as a file holds it.
type policyFile struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	Enabled bool          `json:"enabled"`
	Rules   []client.Rule `json:"rules"`
}

// each calls do with every policy.
func each(ctx context.Context, api *client.Client, do func(client.Policy) error) error {
	for p := (client.Page{Limit: 500}); ; {
		l, err := api.Policies(ctx, client.PolicyFilter{}, p)
		if err != nil {
			return err
		}
		for _, policy := range l.Rows {
			if err := do(policy); err != nil {
				return err
			}
		}
		if p.After = l.Next; p.After == "" {
			return nil
		}
	}
}

func policyExport() cli.Command {
	return remote(cli.Command{
		Use: "export DIR", Short: "write every policy as DIR/NAME.json, to keep and review them as files", Args: 1,
		Example: "  control-center policy export ./policies",
		Long:    "Files of policies that exist no longer stay; the same policies give the same bytes.",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if err := os.MkdirAll(args[0], 0o750); err != nil {
			return err
		}
		n := 0
		err := each(ctx, api, func(p client.Policy) error {
			text, err := json.MarshalIndent(policyFile{p.Name, p.Version, p.Enabled, p.Rules}, "", "  ")
			if err != nil {
				return err
			}
			n++
			return os.WriteFile(filepath.Join(args[0], filepath.Base(p.Name)+".json"), append(text, '\n'), 0o600)
		})
		if err != nil {
			return err
		}
		return o.Done(cli.Result{Result: fmt.Sprintf("exported %d", n)}, "wrote %d policies to %s", n, args[0])
	})
}

// imported is what an import does, or would do, with one file.
type imported struct {
	File   string                    `json:"file"`
	Name   string                    `json:"name"`
	Result string                    `json:"result"` // created, updated, unchanged
	Diff   []client.PolicyDifference `json:"diff"`
}

func policyImport() cli.Command {
	var dryRun bool
	return remote(cli.Command{
		Use: "import DIR|FILE", Short: "create and change policies as files say, and show what that changes", Args: 1,
		Example: "  control-center policy import ./policies --dry-run\n  control-center policy import ./policies",
		Long: "A policy is known by its name. All files are checked before the first one is taken; policies without a file stay as " +
			"they are.",
		Flags: func(f *cli.Flags) { f.BoolVar(&dryRun, "dry-run", false, "show what would change, and change nothing") },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		files, err := policyFiles(args[0])
		if err != nil {
			return err
		}
		known := map[string]client.Policy{}
		if err := each(ctx, api, func(p client.Policy) error { known[p.Name] = p; return nil }); err != nil {
			return err
		}
		var done []imported
		var changes []func() error
		for _, file := range files {
			i, change, err := importFile(ctx, o, api, file, known)
			if err != nil {
				return err
			}
			done, changes = append(done, i), append(changes, change)
		}
		t := cli.Table{Head: []string{"POLICY", "RESULT", "PLACE", "BEFORE", "AFTER"}}
		for i, d := range done {
			if !dryRun && d.Result != "unchanged" {
				if err := changes[i](); err != nil {
					return err
				}
			}
			if len(d.Diff) == 0 {
				t.Rows = append(t.Rows, []string{d.Name, d.Result, "", "", ""})
			}
			for _, row := range diffTable(d.Diff).Rows {
				t.Rows = append(t.Rows, append([]string{d.Name, d.Result}, row...))
			}
		}
		if dryRun {
			o.Note("nothing was changed; leave out --dry-run to do it")
		}
		return o.Print(done, t)
	})
}

// policyFiles returns the file, or the JSON files of the folder, with that path.
func policyFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, cli.Usage("the file or folder cannot be read: %s", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	files, err := filepath.Glob(filepath.Join(path, "*.json"))
	if err == nil && len(files) == 0 {
		err = cli.Usage("%s holds no file *.json", path)
	}
	slices.Sort(files)
	return files, err
}

// importFile checks one file, and returns what it changes and the function that changes it.
func importFile(
	ctx context.Context,
	o *cli.IO,
	api *client.Client,
	file string,
	known map[string]client.Policy,
) (imported, func() error, error) {
	d, text, err := readPolicy(o, file)
	if err != nil {
		return imported{}, nil, err
	}
	name := d.Name()
	if name == "" {
		return imported{}, nil, cli.Usage("%s has no name", file)
	}
	now, found := known[name]
	check, err := api.CheckPolicy(ctx, now.ID, d, nil)
	if err != nil {
		return imported{}, nil, cli.Located(file, text, err)
	}
	i := imported{File: file, Name: name, Result: "updated", Diff: check.Diff}
	switch {
	case !found:
		i.Result = "created"
		return i, func() error { _, err := api.CreatePolicy(ctx, d); return err }, nil
	case len(check.Diff) == 0:
		i.Result = "unchanged"
	}
	return i, func() error { return api.UpdatePolicy(ctx, now.ID, d, now.Revision) }, nil
}
