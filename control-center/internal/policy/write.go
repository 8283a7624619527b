package policy

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Limits of what a policy holds beside those of package authz, in bytes.
const (
	maxRules   = 512 << 10 // of all rules as JSON: a policy and its version are a document each
	maxVersion = 64        // of the text that its author calls a version
)

// Draft describes a policy to create.
type Draft struct {
	ID      string // empty for a fresh one
	Name    string
	Version string
	Rules   []authz.Rule
	Enabled bool
}

// Edit holds the members of a policy to change; what is nil stays as it is. The version rises in
// its last part when Version is nil (contracts/platform.md I35).
type Edit struct {
	Name    *string
	Version *string
	Rules   []authz.Rule
	Enabled *bool
}

// Create stores a new policy and puts it in force. The faults are Invalid with a place for each
// mistake, ErrTaken, and policy.lockout.
func (ps *Policies) Create(ctx context.Context, n Draft, by Caller) (Document, error) {
	d := Document{Enabled: n.Enabled, ID: cmp.Or(n.ID, id.New()), Name: n.Name, Rules: n.Rules, Version: n.Version}
	return ps.put(ctx, "policy.create", d.ID, "", by, nil, func(before Document) (Document, error) { return d, nil })
}

// Update changes the policy with that id and puts it in force. ifMatch is the If-Match of the
// request: when it names other revisions than the policy has, the fault is policy.changed; empty
// matches all.
func (ps *Policies) Update(ctx context.Context, policyID string, e Edit, ifMatch string, by Caller) error {
	if e.Name == nil && e.Version == nil && e.Rules == nil && e.Enabled == nil {
		return fault.New(fault.Invalid, "policy.nothing", "nothing to change: give name, rules, enabled or version")
	}
	_, err := ps.put(ctx, "policy.update", policyID, ifMatch, by, nil, func(d Document) (Document, error) {
		if d.ID == "" {
			return d, ErrNotFound
		}
		if e.Name != nil {
			d.Name = *e.Name
		}
		if e.Rules != nil {
			d.Rules = e.Rules
		}
		if e.Enabled != nil {
			d.Enabled = *e.Enabled
		}
		if d.Version = raise(d.Version); e.Version != nil {
			d.Version = *e.Version
		}
		return d, nil
	})
	return err
}

// Revert makes the policy what it was at that revision, as a new version that is in force. It
// brings a deleted policy back. accept, when not nil, is called in the transaction with what Revert
// returns when that is committed.
func (ps *Policies) Revert(
	ctx context.Context,
	policyID string,
	revision int,
	ifMatch string,
	by Caller,
	accept func(Document),
) (Document, error) {
	then, err := ps.Version(ctx, policyID, revision)
	if err != nil {
		return Document{}, err
	}
	return ps.put(ctx, "policy.revert", policyID, ifMatch, by, accept, func(d Document) (Document, error) {
		d.Enabled, d.ID, d.Name, d.Rules, d.Version = then.Enabled, policyID, then.Name, then.Rules, then.Version
		return d, nil
	})
}

// Delete removes the policy with that id. Its versions stay, and Revert brings it back.
func (ps *Policies) Delete(ctx context.Context, policyID, ifMatch string, by Caller) error {
	if !id.Valid(policyID) {
		return ErrNotFound
	}
	act := change.New("policy.delete", "policies/"+policyID, nil)
	c := authz.Change{ID: policyID}
	return ps.change(ctx, act, &c, func(tx *store.Tx) error {
		row, err := Table.Load(tx, policyID)
		if err != nil {
			return err
		}
		if row.Rev == 0 {
			return ErrNotFound
		}
		if err := matches(ifMatch, row.Value); err != nil {
			return err
		}
		if err := ps.keepsOpen(ctx, by, row.Value, c); err != nil {
			return err
		}
		act.Details["name"], act.Details["revision"] = row.Value.Name, row.Value.Revision
		Table.Remove(tx, policyID)
		return nil
	})
}

// put stores what edit makes of the policy with that id, which is empty when there is none, and
// puts it in force. accept, when not nil, gets it before the commit.
func (ps *Policies) put(
	ctx context.Context,
	action, policyID, ifMatch string,
	by Caller,
	accept func(Document),
	edit func(Document) (Document, error),
) (Document, error) {
	if !id.Valid(policyID) {
		return Document{}, ErrNotFound
	}
	var done Document
	act := change.New(action, "policies/"+policyID, nil)
	c := authz.Change{ID: policyID}
	err := ps.change(ctx, act, &c, func(tx *store.Tx) error {
		row, err := Table.Load(tx, policyID)
		if err != nil {
			return err
		}
		d, err := edit(row.Value)
		if err != nil {
			return err
		}
		if err := matches(ifMatch, row.Value); err != nil {
			return err
		}
		if err := ps.check(ctx, d); err != nil {
			return err
		}
		p := d.compiled()
		c.Policy = &p
		if err := ps.keepsOpen(ctx, by, row.Value, c); err != nil {
			return err
		}
		if done, err = ps.save(ctx, tx, row.Value, d, action); err != nil {
			return err
		}
		if accept != nil {
			accept(done)
		}
		act.Details["name"], act.Details["enabled"], act.Details["revision"] = done.Name, done.Enabled, done.Revision
		return nil
	})
	return done, err
}

// check returns what keeps d from being stored: one Invalid fault with all its mistakes, or
// ErrTaken.
func (ps *Policies) check(ctx context.Context, d Document) error {
	if err := wrong(d); err != nil {
		return err
	}
	row, err := ps.named(ctx, d.Name)
	if err == nil && row.Rev != 0 && row.Value.ID != d.ID {
		err = ErrTaken
	}
	return err
}

// wrong returns one Invalid fault with everything that is wrong with d by itself, each with its
// JSON pointer, or nil.
func wrong(d Document) error {
	var fields []fault.Field
	err := authz.Check(d.compiled())
	if f := fault.Of(err); f != nil && f.Kind == fault.Invalid {
		fields = f.Fields
	} else if err != nil {
		return err
	}
	if d.Version == "" || len(d.Version) > maxVersion || strings.ContainsFunc(d.Version, func(r rune) bool { return !unicode.IsPrint(r) }) {
		fields = append(fields, fault.Field{Pointer: "/version", Message: "must be 1 to 64 bytes of printable text, for example 1.0.0"})
	}
	if b, err := json.Marshal(d.Rules); err != nil || len(b) > maxRules {
		fields = append(fields, fault.Field{Pointer: "/rules", Message: "must be at most 512 KiB of JSON; make two policies of it"})
	}
	if len(fields) == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "policy.invalid", "%s: %s", fields[0].Pointer, fields[0].Message).With(fields...)
}

// raise returns the version behind v: its last part, a number, is one more, or it gets ".1" where
// that is none.
func raise(v string) string {
	at := strings.LastIndexByte(v, '.') + 1
	n, err := strconv.ParseUint(v[at:], 10, 32)
	if err != nil {
		if len(v) > maxVersion-2 {
			return v
		}
		return v + ".1"
	}
	return v[:at] + strconv.FormatUint(n+1, 10)
}

// ETag returns the entity tag of d without its quotes.
func (d Document) ETag() string { return strconv.Itoa(d.Revision) }

// matches compares an If-Match header with the policy d, which is empty when there is none (RFC
// 9110 13.1.1).
func matches(ifMatch string, d Document) error {
	if strings.TrimSpace(ifMatch) == "" {
		return nil
	}
	tags := strings.Split(ifMatch, ",")
	if slices.ContainsFunc(tags, func(tag string) bool {
		tag = strings.TrimSpace(tag)
		return d.ID != "" && (tag == "*" || tag == `"`+d.ETag()+`"`)
	}) {
		return nil
	}
	return fault.New(
		fault.Conflict,
		"policy.changed",
		"somebody changed this policy after you read it (it is at revision %d); read it again and apply your change to that",
		d.Revision,
	)
}
