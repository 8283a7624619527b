package policy

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Load puts the stored policies in force. On a fresh store it stores the built-in policies first,
// and after an upgrade with other built-in roles it raises the version.
func (ps *Policies) Load(ctx context.Context) error {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	builtin, err := authz.Defaults()
	if err != nil {
		return err
	}
	digest, err := digestOf(builtin)
	if err != nil {
		return err
	}
	row, err := sets.Get(ctx, ps.Changes.DB, setID)
	if err != nil {
		return err
	}
	if row.Rev == 0 || row.Value.BuiltIn != digest {
		act := change.New("policy.install", "policies/built-in", map[string]any{"digest": digest})
		err = ps.Changes.Commit(ctx, act, func(tx *store.Tx) error {
			row, err := sets.Load(tx, setID)
			if err != nil {
				return err
			}
			version := row.Value.Version + 1
			act.Emit(change.PolicyChanged, "built-in", change.Data{Version: version})
			if row.Rev == 0 {
				for _, p := range builtin.Policies {
					act.Emit(change.PolicyChanged, p.ID, change.Data{Enabled: &p.Enabled, Name: p.Name, Version: version})
					d := Document{Enabled: p.Enabled, ID: p.ID, Name: p.Name, Rules: p.Rules, Version: p.Version}
					if _, err := ps.save(ctx, tx, Document{}, d, "policy.install"); err != nil {
						return err
					}
				}
			}
			return sets.Save(tx, set{BuiltIn: digest, ID: setID, Version: version})
		})
		if err != nil {
			return err
		}
	}
	return ps.reload(ctx)
}

// digestOf returns the digest of the built-in roles and services.
func digestOf(src authz.Source) (string, error) {
	src.Policies = nil
	body, err := canonical.Make(src)
	return id.Digest(body)[:16], err
}

// source returns what is to be in force: the built-in roles and the stored policies.
func (ps *Policies) source(ctx context.Context) (authz.Source, error) {
	src, err := authz.Defaults()
	if err != nil {
		return src, err
	}
	row, err := sets.Get(ctx, ps.Changes.DB, setID)
	if err != nil {
		return src, err
	}
	src.Version, src.Policies = row.Value.Version, nil
	for r, err := range Table.All(ctx, ps.Changes.DB, store.Query{}) {
		if err != nil {
			return src, err
		}
		src.Policies = append(src.Policies, r.Value.compiled())
	}
	return src, nil
}

// reload compiles what is stored and puts it in force. A stored policy that does not compile is
// logged and left out; the others are in force.
func (ps *Policies) reload(ctx context.Context) error {
	src, err := ps.source(ctx)
	if err != nil {
		return err
	}
	compiled, bad, err := authz.Load(ps.Authority.Set(), src)
	if err != nil {
		return err
	}
	for _, q := range bad {
		ps.Log.Error("a stored policy is not in force", "policy", q)
	}
	ps.broken.Store(int64(len(bad)))
	ps.Authority.Swap(compiled)
	ps.announce(src.Version, nil)
	return nil
}

// lookEvery is how often Run compares the set in force with the one that is stored.
const lookEvery = 2 * time.Second

// Run puts in force what was stored without this process knowing it, until ctx ends; then it
// returns nil. A commit whose outcome was unknown may take place after its change has read the set
// again.
func (ps *Policies) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := ps.catchUp(ctx); err != nil && ctx.Err() == nil {
			ps.Log.WarnContext(ctx, "the stored policies could not be compared with those in force", "error", err)
		}
	}
}

// catchUp loads the stored set unless its version is the one in force.
func (ps *Policies) catchUp(ctx context.Context) error {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	row, err := sets.Get(ctx, ps.Changes.DB, setID)
	if err != nil || row.Value.Version == ps.Authority.Set().Version() {
		return err
	}
	return ps.reload(ctx)
}
