package authz

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"

	"github.com/provisioning-platform/platform/policies"
)

// Source is what a Set is compiled from, and the form in which it travels to the orchestrator.
// Fields stand in the order of their JSON names, so it is canonical as encoded.
type Source struct {
	Policies []Policy `json:"policies"`
	Roles    []Role   `json:"roles"`
	Services []Role   `json:"services,omitempty"` // rights of services, which have no roles
	Version  uint64   `json:"version"`            // raised by every change of any of it
}

// Policy is a named list of rules, in the shape of the API.
type Policy struct {
	Enabled bool   `json:"enabled"`
	ID      string `json:"id"`
	Name    string `json:"name"`
	Rules   []Rule `json:"rules"`
	Version string `json:"version"`
}

// The effects of a rule.
const (
	EffectAllow = "Allow"
	EffectDeny  = "Deny"
)

// Rule is one sentence: who meets Condition may (or may not) do Action to Resource. In a policy it
// speaks of every user, in a role of those who have it.
type Rule struct {
	Action    []string `json:"action"`
	Condition string   `json:"condition,omitempty"` // CEL; empty: always
	Effect    string   `json:"effect"`
	Resource  string   `json:"resource"` // "<type>:<name glob>", either may be "*"
}

// Feed is one answer of the policy feed: what leads from the version asked for to Version. Both are
// empty when that is the same. Versions of one epoch can be compared; the epoch changes when the
// store is replaced.
type Feed struct {
	Changes []Change `json:"changes,omitempty"` // since the version asked for, in their order
	Epoch   string   `json:"epoch,omitempty"`
	Source  *Source  `json:"source,omitempty"` // everything, when changes cannot tell
	Version uint64   `json:"version"`
}

// Defaults returns the built-in roles, services and first policies, at version 1.
func Defaults() (Source, error) {
	src := Source{Version: 1}
	if err := readAll("roles", &src.Roles); err != nil {
		return Source{}, err
	}
	if err := readAll("services", &src.Services); err != nil {
		return Source{}, err
	}
	if err := readAll("defaults", &src.Policies); err != nil {
		return Source{}, err
	}
	return src, nil
}

func readAll[T any](folder string, into *[]T) error {
	files, err := fs.Glob(policies.Files, path.Join(folder, "*.json"))
	if err != nil {
		return fmt.Errorf("built-in %s: %w", folder, err)
	}
	for _, name := range files {
		b, err := fs.ReadFile(policies.Files, name)
		if err != nil {
			return fmt.Errorf("built-in %s: %w", folder, err)
		}
		var v T
		if err := json.Unmarshal(b, &v); err != nil {
			return fmt.Errorf("built-in %s: %w", name, err)
		}
		*into = append(*into, v)
	}
	return nil
}
