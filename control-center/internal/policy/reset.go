package policy

import (
	"context"
	"slices"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/store"
)

// resetTogether is how many policies one commit of Reset changes: a policy and its version are up
// to 1 MiB together, and a commit holds 16 MiB.
const resetTogether = 8

// Reset takes every policy out of force but those that the program brings, which it makes what they
// were at first. It deletes nothing, and each policy can be enabled again. It returns the names of
// those that it changed. It is for a store that no service has open, when policies lock everybody
// out (decision 64); the service decides by what it finds at its next start.
func (ps *Policies) Reset(ctx context.Context) ([]string, error) {
	builtin, err := authz.Defaults()
	if err != nil {
		return nil, err
	}
	wanted := map[string]Document{}
	for _, p := range builtin.Policies {
		wanted[p.ID] = Document{Enabled: p.Enabled, ID: p.ID, Name: p.Name, Rules: p.Rules, Version: p.Version}
	}
	var changed []Document
	for row, err := range Table.All(ctx, ps.Changes.DB, store.Query{}) {
		if err != nil {
			return nil, err
		}
		d := row.Value
		if first, ok := wanted[d.ID]; ok {
			delete(wanted, d.ID)
			if diff, err := Compare(d, first); err != nil || len(diff) > 0 {
				changed = append(changed, first)
			}
			continue
		}
		if d.Enabled {
			d.Enabled = false
			changed = append(changed, d)
		}
	}
	for _, first := range wanted { // deleted ones
		changed = append(changed, first)
	}
	var names []string
	for some := range slices.Chunk(changed, resetTogether) {
		if err := ps.resetSome(ctx, some); err != nil {
			return names, err
		}
		for _, d := range some {
			names = append(names, d.Name)
		}
	}
	return names, nil
}

// resetSome stores some policies in one commit.
func (ps *Policies) resetSome(ctx context.Context, some []Document) error {
	act := change.New("policy.reset", "policies/all", nil)
	return ps.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		row, err := sets.Load(tx, setID)
		if err != nil {
			return err
		}
		s := row.Value
		s.ID, s.Version = setID, s.Version+1
		var ids []string
		for _, d := range some {
			before, err := Table.Load(tx, d.ID)
			if err != nil {
				return err
			}
			if _, err := ps.save(ctx, tx, before.Value, d, "policy.reset"); err != nil {
				return err
			}
			act.Emit(change.PolicyChanged, d.ID, change.Data{Enabled: &d.Enabled, Name: d.Name, Version: s.Version})
			ids = append(ids, d.ID)
		}
		act.Details["policies"] = ids
		return sets.Save(tx, s)
	})
}
