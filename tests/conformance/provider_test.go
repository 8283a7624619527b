package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// providerCall is a line that the simulated provider wrote.
type providerCall struct {
	Action string `json:"action"`
	Effect bool   `json:"effect"` // something was changed
	Name   string `json:"name"`
}

// OK says whether the call had its effect.
func (c providerCall) OK() bool { return c.Effect }

// callsOf returns the mutating calls that concern the servers with these names, in order.
func (e *env) callsOf(names ...string) []providerCall {
	e.t.Helper()
	raw, err := os.ReadFile(e.calls)
	if err != nil && !os.IsNotExist(err) {
		e.t.Fatal(err)
	}
	var list []providerCall
	for line := range strings.Lines(string(raw)) {
		var c providerCall
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			e.t.Fatalf("%s: %v", filepath.Base(e.calls), err)
		}
		for _, n := range names {
			if c.Name == n || n == "" {
				list = append(list, c)
			}
		}
	}
	return list
}

func (e *env) callCount(name string) int { return len(e.callsOf(name)) }

// deletes returns the delete calls that the provider saw for these servers.
func (e *env) deletes(names ...string) []providerCall {
	var list []providerCall
	for _, c := range e.callsOf(names...) {
		if c.Action == "delete" {
			list = append(list, c)
		}
	}
	return list
}
