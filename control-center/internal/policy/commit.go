package policy

import (
	"context"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// change stores what fn does to one policy, with a new version, and puts c in force. It costs the
// same however many policies there are. fn may fill in c.
func (ps *Policies) change(ctx context.Context, act *change.Act, c *authz.Change, fn func(*store.Tx) error) error {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	var version uint64
	err := ps.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		row, err := sets.Load(tx, setID)
		if err != nil {
			return err
		}
		s := row.Value
		s.ID, s.Version = setID, s.Version+1
		version = s.Version
		if c.Policy == nil {
			act.Emit(change.PolicyDeleted, c.ID, change.Data{Version: version})
		} else {
			act.Emit(change.PolicyChanged, c.ID, change.Data{Enabled: &c.Policy.Enabled, Name: c.Policy.Name, Version: version})
		}
		return sets.Save(tx, s)
	})
	if err != nil && !fault.Is(err, fault.Unavailable) {
		return err
	}
	set := ps.Authority.Set()
	if err == nil && version == set.Version()+1 {
		if _, err := set.Apply(version, *c); err == nil {
			ps.announce(version, c)
			return nil
		}
	}
	// The outcome of the commit is unknown, or the set in force is not the version before: read
	// what is stored.
	if reloaded := ps.reload(context.WithoutCancel(ctx)); err == nil {
		err = reloaded
	}
	return err
}
