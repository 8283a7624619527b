package policy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/id"
)

// Difference is one place where two states of a policy differ. Before is nil where something was
// added, After where something was removed. A pointer to a rule counts in the newer state, unless
// the rule was removed.
type Difference struct {
	Pointer string
	Before  json.RawMessage
	After   json.RawMessage
}

// Diff compares two versions of a policy. To is the newest one when it is 0, and from the one
// before to; before the first one is the empty policy.
func (ps *Policies) Diff(ctx context.Context, policyID string, from, to int) ([]Difference, error) {
	if !id.Valid(policyID) {
		return nil, ErrNotFound
	}
	if to == 0 {
		var err error
		if to, err = ps.last(ctx, policyID); err != nil {
			return nil, err
		}
	}
	b, err := ps.Version(ctx, policyID, to)
	if err != nil {
		return nil, err
	}
	var a Version
	if from = cmp.Or(from, to-1); from > 0 {
		if a, err = ps.Version(ctx, policyID, from); err != nil {
			return nil, err
		}
	}
	return Compare(a.state(), b.state())
}

func (v Version) state() Document {
	return Document{Enabled: v.Enabled, ID: v.Policy, Name: v.Name, Revision: v.Revision, Rules: v.Rules, Version: v.Version}
}

// Compare returns where b differs from a: in name, version, whether it is enabled, and rules. A
// rule that only moved counts as removed and added, since the order of rules says nothing but where
// a reader finds them.
func Compare(a, b Document) ([]Difference, error) {
	var c comparison
	c.member("/name", a.Name, b.Name)
	c.member("/version", a.Version, b.Version)
	c.member("/enabled", a.Enabled, b.Enabled)
	c.rules(a.Rules, b.Rules)
	return c.found, c.err
}

// comparison collects differences.
type comparison struct {
	found []Difference
	err   error
}

// raw returns the JSON of v.
func (c *comparison) raw(v any) json.RawMessage {
	b, err := canonical.Make(v)
	if err != nil {
		c.err = err
	}
	return b
}

func (c *comparison) member(pointer string, a, b any) {
	if !reflect.DeepEqual(a, b) {
		c.found = append(c.found, Difference{Pointer: pointer, Before: c.raw(a), After: c.raw(b)})
	}
}

// rules aligns two lists by their longest common subsequence. Between two rules that stayed,
// removed and added ones are paired in their order, and a pair is compared by its members.
func (c *comparison) rules(a, b []authz.Rule) {
	common := make([][]int, len(a)+1) // common[i][j] is the length of that of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); reflect.DeepEqual(a[i], b[j]) {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var removed, added []int
	flush := func() {
		for len(removed) > 0 && len(added) > 0 {
			c.rule(added[0], a[removed[0]], b[added[0]])
			removed, added = removed[1:], added[1:]
		}
		for _, i := range removed {
			c.found = append(c.found, Difference{Pointer: fmt.Sprintf("/rules/%d", i), Before: c.raw(a[i])})
		}
		for _, j := range added {
			c.found = append(c.found, Difference{Pointer: fmt.Sprintf("/rules/%d", j), After: c.raw(b[j])})
		}
		removed, added = nil, nil
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && reflect.DeepEqual(a[i], b[j]):
			flush()
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			removed, i = append(removed, i), i+1
		default:
			added, j = append(added, j), j+1
		}
	}
	flush()
}

// rule compares the members of two rules.
func (c *comparison) rule(at int, a, b authz.Rule) {
	pointer := fmt.Sprintf("/rules/%d", at)
	c.member(pointer+"/effect", a.Effect, b.Effect)
	c.member(pointer+"/resource", a.Resource, b.Resource)
	c.member(pointer+"/action", a.Action, b.Action)
	c.member(pointer+"/condition", a.Condition, b.Condition)
}
