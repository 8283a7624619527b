package policy

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
)

// Checked is what is known of a draft that could be stored.
type Checked struct {
	Set      *authz.Set    // the policies in force with the draft
	Diff     []Difference  // from the policy that the draft replaces; from an empty one when it is new
	Warnings []fault.Field // what is allowed and probably not meant, each with its JSON pointer
}

// Check does with a draft what Create, or Update when it has an id, would do, and stores nothing.
// It returns the fault that they would return.
func (ps *Policies) Check(ctx context.Context, draft Document, by Caller) (Checked, error) {
	var before Document
	if draft.ID == "" {
		draft.ID = id.New()
	} else {
		var err error
		if before, err = ps.Get(ctx, draft.ID); err != nil {
			return Checked{}, err
		}
		if draft.Version == "" {
			draft.Version = raise(before.Version)
		}
	}
	p := draft.compiled()
	c := Checked{Warnings: lint(draft.Rules)}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if err := ps.check(ctx, draft); err != nil {
		return Checked{}, err
	}
	if err := ps.keepsOpen(ctx, by, before, authz.Change{ID: draft.ID, Policy: &p}); err != nil {
		return Checked{}, err
	}
	src := ps.Authority.Set().Source()
	src.Policies = append(slices.DeleteFunc(src.Policies, func(o authz.Policy) bool { return o.ID == p.ID }), p)
	var err error
	if c.Set, _, err = authz.Load(ps.Authority.Set(), src); err != nil {
		return Checked{}, err
	}
	c.Diff, err = Compare(before, draft)
	return c, err
}

// lint returns what is probably not meant in rules that compile.
func lint(rules []authz.Rule) (found []fault.Field) {
	warn := func(i int, message string, args ...any) {
		found = append(found, fault.Field{Pointer: fmt.Sprintf("/rules/%d", i), Message: fmt.Sprintf(message, args...)})
	}
	for i, r := range rules {
		if r.Effect == authz.EffectAllow && strings.TrimSpace(r.Condition) == "" {
			warn(i, "allows this to every user whatever the role, for it has no condition")
		}
		for j, o := range rules {
			switch {
			case i == j:
			case reflect.DeepEqual(r, o):
				if j < i {
					warn(i, "says the same as /rules/%d", j)
				}
			case o.Condition != "" || !covers(o, r):
			case o.Effect == authz.EffectDeny && r.Effect == authz.EffectAllow:
				warn(i, "allows nothing, for the Deny at /rules/%d always beats it", j)
			case o.Effect == r.Effect && (j < i || !covers(r, o)):
				warn(i, "adds nothing to /rules/%d", j)
			}
		}
	}
	return found
}

// covers says whether a speaks of everything that b speaks of, conditions aside.
func covers(a, b authz.Rule) bool {
	typ, name, _ := strings.Cut(a.Resource, ":")
	otherType, otherName, _ := strings.Cut(b.Resource, ":")
	if typ != "*" && typ != otherType || name != "*" && name != otherName {
		return false
	}
	return slices.Contains(a.Action, "*") || !slices.ContainsFunc(b.Action, func(action string) bool {
		return !slices.Contains(a.Action, action)
	})
}
