package change

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Act is one change: what its audit entry says, the events that tell of it and what it revokes. The
// function that Commit runs fills it in.
type Act struct {
	audit.EntryDraft
	events  []Event
	revoked []token.Revocation
}

// New returns an act whose audit entry has that action ("user.create"), resource ("users/<id>") and
// details. The details are never a secret; nil stands for none.
func New(action, resource string, details map[string]any) *Act {
	if details == nil {
		details = map[string]any{}
	}
	return &Act{EntryDraft: audit.EntryDraft{Action: action, Resource: resource, Details: details}}
}

// Emit adds an event to the act. objectID is the id of the noun in t, empty when it is not known.
func (a *Act) Emit(t Type, objectID string, d Data) {
	a.events = append(a.events, Event{Type: t, ObjectID: objectID, Data: d})
}

// Revoke adds items to the revocation stream with the act. They are in force when Commit returns.
func (a *Act) Revoke(items ...token.Revocation) { a.revoked = append(a.revoked, items...) }

// Refuse makes the act one that changed nothing but counters: its audit entry says denied, with
// that stable code and the reason, which is for the log and the events only.
func (a *Act) Refuse(code, reason string) {
	a.Result, a.Code, a.Details["reason"] = audit.Refused, code, reason
}

// errSilent refuses a change that no event tells of.
var errSilent = fault.New(fault.Internal, "change.no_event",
	"a change that no event tells of is not committed; this is a fault of the program, please report it")

// Committer commits changes. It is built as a literal.
type Committer struct {
	DB      store.DB
	Revoked *token.Revocations // what the own verifier asks; nil in a command, which verifies no tokens
}

// Commit runs fn on a transaction and commits the documents that fn wrote, the events and
// revocations that act holds then, and one audit entry, all or nothing. On a conflict it runs fn
// again, each time with act as it was given, so fn has no effect but on the transaction and act. It
// returns the error of fn as it is, and Unavailable when the outcome is unknown: the revocations of
// such a commit come into force through revocation.Log.Run.
func (c *Committer) Commit(ctx context.Context, act *Act, fn func(*store.Tx) error) error {
	r, err := audit.Update(ctx, c.DB, &act.EntryDraft, func(tx *store.Tx) error {
		act.events, act.revoked = nil, nil
		if err := fn(tx); err != nil {
			return err
		}
		if len(act.events) == 0 {
			return errSilent
		}
		by := audit.ContextOf(ctx).Actor
		if act.Actor != nil {
			by = *act.Actor
		}
		if err := emit(tx, by, time.Now(), act.events); err != nil {
			return err
		}
		return revocation.Append(tx, act.revoked...)
	})
	if err != nil || c.Revoked == nil {
		return err
	}
	first := len(r.Seqs) - 1 - len(act.revoked) // the audit entry is the last append of the commit
	for i, item := range act.revoked {
		item.Seq = r.Seqs[first+i]
		c.Revoked.Apply(item)
	}
	return nil
}
