package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

const (
	partSize   = 600 << 10 // bytes of a policy source in one document
	maxChanged = 256       // changes that are kept beside a source before it is written anew
)

// sourceHead says which policy set is stored: a source in so many parts, and what changed since. It
// is written with both, in one commit.
type sourceHead struct {
	Changed int    `json:"changed"` // changes at most
	Epoch   string `json:"epoch"`
	Parts   int    `json:"parts"`
	Version uint64 `json:"version"`
}

// part is a piece of the policy source, which may be larger than a document.
type part struct {
	Data   []byte `json:"data"`
	Number int    `json:"number"`
}

var (
	sourceHeads = store.Table[sourceHead]{Kind: "trust", ID: func(sourceHead) string { return "policies" }}
	parts       = store.Table[part]{Kind: "trust_part", ID: func(p part) string { return partID(p.Number) }}
	changes     = store.Table[authz.Change]{Kind: "trust_policy", ID: func(c authz.Change) string { return c.ID }}
)

func partID(n int) string { return fmt.Sprintf("%06d", n) }

// loadPolicies brings the stored policy set into force, if there is one.
func (t *Trust) loadPolicies(ctx context.Context) error {
	head, err := sourceHeads.Get(ctx, t.DB, "policies")
	if err != nil || head.Rev == 0 {
		return err
	}
	var whole bytes.Buffer
	for n := range head.Value.Parts {
		row, err := parts.Get(ctx, t.DB, partID(n))
		if err != nil {
			return err
		}
		whole.Write(row.Value.Data)
	}
	var src authz.Source
	if err := json.Unmarshal(whole.Bytes(), &src); err != nil {
		return err
	}
	changed, err := t.storedChanges(ctx)
	if err != nil {
		return err
	}
	src.Version = head.Value.Version
	for _, c := range changed {
		src.Policies = slices.DeleteFunc(src.Policies, func(p authz.Policy) bool { return p.ID == c.ID })
		if c.Policy != nil {
			src.Policies = append(src.Policies, *c.Policy)
		}
	}
	set, broken, err := authz.Load(nil, src)
	if err != nil {
		return err
	}
	t.report(ctx, broken)
	t.authority.Swap(set)
	t.policy, t.rules = src.Version, head.Value.Epoch
	return nil
}

// storedChanges returns what changed since the stored source.
func (t *Trust) storedChanges(ctx context.Context) ([]authz.Change, error) {
	var all []authz.Change
	for r, err := range changes.All(ctx, t.DB, store.Query{}) {
		if err != nil {
			return nil, err
		}
		all = append(all, r.Value)
	}
	return all, nil
}

// keepPolicies stores the set in force, which feed led to: the whole source or, beside it, what
// changed. The change of rights is an act of its own in the audit log.
func (t *Trust) keepPolicies(ctx context.Context, feed authz.Feed, broken []authz.Quarantined) error {
	act := adoption(feed, broken)
	head, err := sourceHeads.Get(ctx, t.DB, "policies")
	if err != nil {
		return fault.Wrap("store policies", err)
	}
	next := sourceHead{Changed: head.Value.Changed + len(feed.Changes), Epoch: feed.Epoch, Parts: head.Value.Parts, Version: feed.Version}
	var pieces [][]byte
	var old []authz.Change
	if whole := feed.Source != nil || next.Changed > maxChanged; whole {
		text, err := json.Marshal(t.authority.Set().Source())
		if err != nil {
			return fault.Wrap("store policies", err)
		}
		pieces = slices.Collect(slices.Chunk(text, partSize))
		if old, err = t.storedChanges(ctx); err != nil {
			return fault.Wrap("store policies", err)
		}
		next.Changed, next.Parts, feed.Changes = 0, len(pieces), nil
	}
	_, err = audit.Update(auditContext(ctx), t.DB, act, func(tx *store.Tx) error {
		for n, data := range pieces {
			if err := parts.Save(tx, part{Data: data, Number: n}); err != nil {
				return err
			}
		}
		for n := next.Parts; n < head.Value.Parts; n++ {
			parts.Remove(tx, partID(n))
		}
		for _, c := range old {
			changes.Remove(tx, c.ID)
		}
		for _, c := range feed.Changes { // the last one of a policy counts
			if err := changes.Save(tx, c); err != nil {
				return err
			}
		}
		return sourceHeads.Save(tx, next)
	})
	if err != nil {
		return fault.Wrap("store policies", err) // in force, but asked for again until it is stored
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.policy, t.rules = next.Version, next.Epoch
	return nil
}

// maxNamed is how many changed policies an audit entry names.
const maxNamed = 20

// adoption is the act of putting a policy set in force.
func adoption(feed authz.Feed, broken []authz.Quarantined) *audit.EntryDraft {
	act := &audit.EntryDraft{Action: "policy.adopt", Resource: "policies", Details: map[string]any{"version": feed.Version}}
	named := func(detail string, n int, id func(int) string) {
		var ids []string
		for i := range min(n, maxNamed) {
			ids = append(ids, id(i))
		}
		if n > 0 {
			act.Details[detail] = strings.Join(ids, ",")
		}
	}
	named("quarantined", len(broken), func(i int) string { return broken[i].ID })
	named("changed", len(feed.Changes), func(i int) string { return feed.Changes[i].ID })
	return act
}
