package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig"
)

// providerCall is a call as the simulated providers record it: what was asked, failures included. A
// kill between the effect and the record leaves no line, and one that is repeated leaves two: what
// exists is in changes.
type providerCall struct {
	Action  string    `json:"action"`
	Command []string  `json:"command"` // of "run"
	Name    string    `json:"name"`    // of the server
	Time    time.Time `json:"time"`    // of the answer
}

// script returns the name of the recipe script that the call ran, or "".
func (c providerCall) script() string {
	if c.Action != "run" || c.Command[0] != "/bin/sh" {
		return ""
	}
	return filepath.Base(c.Command[1])
}

// serverRecord is a server as its provider keeps it.
type serverRecord struct {
	Name string `json:"name"`
	Plan string `json:"plan"`
	Zone string `json:"zone"`
}

// serverChange is a line of a simulated provider's state file: a server came into being, or went.
type serverChange struct {
	Gone   bool         `json:"gone"`
	Server serverRecord `json:"server"`
}

// configured is fresh with further settings of the orchestrator, as TOML tables. Their paths are
// relative to the installation's folder: calls.jsonl and NAME.state are where callsOf and changes
// look.
func (e *env) configured(settings string) *env {
	e.t.Helper()
	return e.fresh(func(o *rig.Options) { e.appendTo(o.OrchestratorConfig, settings) })
}

// appendTo writes text at the end of a file.
func (e *env) appendTo(file, text string) {
	e.t.Helper()
	was, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(was, text...), 0o600)
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// simulated is a provider for configured, with settings of its own.
func simulated(name, settings string) string {
	return fmt.Sprintf("[providers.%s]\ndriver = \"simulated\"\ncalls = \"calls.jsonl\"\nstate = \"%s.state\"\n%s\n", name, name, settings)
}

// simulatedFault follows simulated: a fault of that provider's, with further settings.
func simulatedFault(name, match, action, settings string) string {
	return fmt.Sprintf("[[providers.%s.faults]]\nmatch = %q\naction = %q\n%s\n", name, match, action, settings)
}

// callsOf returns the mutating calls that concern the servers with these names, in order; "" stands
// for any name.
func (e *env) callsOf(names ...string) []providerCall {
	e.t.Helper()
	return slices.DeleteFunc(records[providerCall](e, e.calls), func(c providerCall) bool {
		return !slices.Contains(names, c.Name) && !slices.Contains(names, "")
	})
}

func (e *env) callCount(name string) int { return len(e.callsOf(name)) }

// deletes returns the delete calls that the provider saw for these servers.
func (e *env) deletes(names ...string) []providerCall {
	e.t.Helper()
	return slices.DeleteFunc(e.callsOf(names...), func(c providerCall) bool { return c.Action != "delete" })
}

// scripts returns the names of the recipe scripts that a server was told to run.
func (e *env) scripts(server string) (names []string) {
	e.t.Helper()
	for _, c := range e.callsOf(server) {
		if name := c.script(); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// changes returns how a server came and went at a simulated provider.
func (e *env) changes(provider, name string) []serverChange {
	e.t.Helper()
	return slices.DeleteFunc(records[serverChange](e, filepath.Join(e.Dir, provider+".state")), func(c serverChange) bool {
		return c.Server.Name != name
	})
}

// records reads a file of JSON lines; one that was never written has none.
func records[T any](e *env, file string) []T {
	e.t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		e.t.Fatal(err)
	}
	var list []T
	for line := range strings.Lines(string(raw)) {
		var r T
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			e.t.Fatalf("%s: %v", filepath.Base(file), err)
		}
		list = append(list, r)
	}
	return list
}

// root returns the folder that the one local server of a task has as its root.
func (e *env) root(task client.Task) string {
	e.t.Helper()
	var results struct {
		Servers []struct{ Facts struct{ Root string } }
	}
	if err := json.Unmarshal(task.Results, &results); err != nil || len(results.Servers) != 1 {
		e.t.Fatalf("one server was expected in %s (%v), task %+v", task.Results, err, task)
	}
	return results.Servers[0].Facts.Root
}
