package policy

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Document is a policy as it is stored. Fields stand in the order of their JSON names.
type Document struct {
	CreatedAt time.Time    `json:"created_at"`
	Enabled   bool         `json:"enabled"`
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Rules     []authz.Rule `json:"rules"`
	Version   string       `json:"version"`
}

// Table maps Document to its documents.
var Table = store.Table[Document]{Kind: "policy", ID: func(d Document) string { return d.ID }}

// set is the version of all policies together. BuiltIn is the digest of the roles in the program
// that last started, so that an upgrade with other roles raises the version too.
type set struct {
	BuiltIn string `json:"built_in"`
	ID      string `json:"id"`
	Version uint64 `json:"version"`
}

var sets = store.Table[set]{Kind: "policy_set", ID: func(s set) string { return s.ID }}

const setID = "set"

// ErrNotFound is the answer to the id of no policy.
var ErrNotFound = fault.New(fault.NotFound, "policy.not_found", "there is no policy with this id")

// Kinds declares the documents of this package.
func Kinds() []store.Kind { return []store.Kind{{Name: Table.Kind}, {Name: sets.Kind}} }

// Policies holds the effective policies and changes them. It is built as a literal; Load comes
// before its first use.
type Policies struct {
	Changes   *change.Committer
	Authority *authz.Authority
	Epoch     string // versions of one epoch can be compared (bootstrap.Epoch)
	Now       func() time.Time
	Log       *slog.Logger

	mu sync.Mutex // held by each change, so that what is put in force is what was stored last

	feed feed
}

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
					if err := Table.Save(tx, ps.document(p)); err != nil {
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

func (ps *Policies) document(p authz.Policy) Document {
	return Document{CreatedAt: ps.Now().UTC().Truncate(time.Millisecond), Enabled: p.Enabled, ID: p.ID, Name: p.Name, Rules: p.Rules, Version: p.Version}
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
		src.Policies = append(src.Policies, authz.Policy{Enabled: r.Value.Enabled, ID: r.Value.ID, Name: r.Value.Name, Rules: r.Value.Rules, Version: r.Value.Version})
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
	ps.Authority.Swap(compiled)
	ps.announce(src.Version, nil)
	return nil
}

// Put stores the policy p, a new or a changed one, and puts it in force. action is that of the
// audit entry. A policy that does not compile is an Invalid fault with a field for each mistake.
func (ps *Policies) Put(ctx context.Context, action string, p authz.Policy) error {
	if err := authz.Check(p); err != nil {
		return err
	}
	act := change.New(action, "policies/"+p.ID, map[string]any{"name": p.Name, "enabled": p.Enabled})
	return ps.change(ctx, act, authz.Change{ID: p.ID, Policy: &p}, func(tx *store.Tx) error {
		row, err := Table.Load(tx, p.ID)
		if err != nil {
			return err
		}
		d := ps.document(p)
		if row.Rev != 0 {
			d.CreatedAt = row.Value.CreatedAt
		}
		return Table.Save(tx, d)
	})
}

// Remove deletes the policy with that id, or returns ErrNotFound.
func (ps *Policies) Remove(ctx context.Context, id string) error {
	act := change.New("policy.delete", "policies/"+id, nil)
	return ps.change(ctx, act, authz.Change{ID: id}, func(tx *store.Tx) error {
		row, err := Table.Load(tx, id)
		if err != nil {
			return err
		}
		if row.Rev == 0 {
			return ErrNotFound
		}
		Table.Remove(tx, id)
		return nil
	})
}

// change stores what fn does to one policy, with a new version, and puts c in force. It costs the
// same however many policies there are.
func (ps *Policies) change(ctx context.Context, act *change.Act, c authz.Change, fn func(*store.Tx) error) error {
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
		if _, err := set.Apply(version, c); err == nil {
			ps.announce(version, &c)
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
