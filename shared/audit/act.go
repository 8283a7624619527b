package audit

import (
	"cmp"
	"context"
	"maps"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Context is what web knows about a request before the handler runs; it travels in the context and
// is copied into every entry written below.
type Context struct {
	Actor     Actor
	Decision  *DecisionRecord
	Op        string
	Origin    string
	RequestID string

	// Settle returns what settles the request's Idempotency-Key in the commit of an act that ended
	// with result. web sets it; nil when the request has no key.
	Settle func(result string) ([]store.Write, error)

	recorded bool // an entry of this request is committed; owned by the request's goroutine
}

type contextKey struct{}

// WithContext returns a context that carries s.
func WithContext(ctx context.Context, s *Context) context.Context {
	return context.WithValue(ctx, contextKey{}, s)
}

// ContextOf returns the Context that ctx carries, and an empty one when it carries none, as in a
// background act.
func ContextOf(ctx context.Context) *Context {
	if s, ok := ctx.Value(contextKey{}).(*Context); ok {
		return s
	}
	return &Context{}
}

// Recorded says whether an entry of this request is committed, so that web writes the record of a
// refusal only when nobody else did.
func (s *Context) Recorded() bool { return s.recorded }

// MarkRecorded says that an entry of this request is committed. Update and Record do it; the
// engine, which commits by itself, calls it on the request's goroutine.
func (s *Context) MarkRecorded() { s.recorded = true }

// Settlement returns the writes that go beside an act, with the given result, into its commit: they
// settle the request's Idempotency-Key. Only the first commit of a request carries them. Update and
// Record do it; the engine, which commits by itself, adds them to its writes.
func (s *Context) Settlement(result string) ([]store.Write, error) {
	if s.Settle == nil || s.recorded {
		return nil, nil
	}
	return s.Settle(result)
}

// EntryDraft is what the code that changes something says about it; the rest of the entry comes
// from the Context.
type EntryDraft struct {
	Action   string
	Resource string
	Details  map[string]any
	Result   string // empty means Success
	Code     string
	Phase    Phase // empty means Event
	OpID     string
	Actor    *Actor // replaces that of the Context (a login has no actor before it succeeded)
}

// Entry returns the entry of the act at the given time, with a fresh id and what the Context of ctx
// says.
func (a EntryDraft) Entry(ctx context.Context, now time.Time) Entry {
	s := ContextOf(ctx)
	e := Entry{
		Action:    a.Action,
		Actor:     s.Actor,
		Code:      a.Code,
		Decision:  s.Decision,
		Details:   a.Details,
		ID:        id.At(now),
		Op:        s.Op,
		OpID:      a.OpID,
		Origin:    s.Origin,
		Phase:     a.Phase,
		RequestID: s.RequestID,
		Resource:  a.Resource,
		Result:    a.Result,
		Time:      now.UTC(),
		V:         1,
	}
	if a.Actor != nil {
		e.Actor = *a.Actor
	}
	if e.Phase == "" {
		e.Phase = Event
	}
	if e.Result == "" {
		e.Result = Success
	}
	return e
}

// Update is store.Update with one audit entry in the same commit: fn changes documents and may fill
// in act, which is recorded when fn succeeds. On a conflict fn runs again, each time with act as it
// was given. Outside the engine, product code changes a store through it alone; the control-center
// through change.Committer, which adds the events.
func Update(ctx context.Context, db store.DB, act *EntryDraft, fn func(*store.Tx) error) (store.Receipt, error) {
	given := *act
	if err := Keep(ctx, db, ContextOf(ctx).Decision); err != nil {
		return store.Receipt{}, err
	}
	r, err := store.Update(ctx, db, func(tx *store.Tx) error {
		*act = given
		act.Details = maps.Clone(given.Details)
		if err := fn(tx); err != nil {
			return err
		}
		body, err := act.body(ctx)
		if err != nil {
			return err
		}
		settled, err := ContextOf(ctx).Settlement(cmp.Or(act.Result, Success))
		for _, w := range settled {
			tx.Add(w)
		}
		tx.Append(Stream, body)
		return err
	})
	if err == nil {
		ContextOf(ctx).MarkRecorded()
	}
	return r, err
}

// Record commits an entry without a change: a refusal, a failed login.
func Record(ctx context.Context, db store.DB, act EntryDraft) error {
	body, err := act.body(ctx)
	if err != nil {
		return err
	}
	if err := Keep(ctx, db, ContextOf(ctx).Decision); err != nil {
		return err
	}
	settled, err := ContextOf(ctx).Settlement(cmp.Or(act.Result, Success))
	if err != nil {
		return err
	}
	_, err = db.Commit(ctx, store.Batch{Writes: settled, Appends: []store.Append{{Stream: Stream, Body: body}}})
	if err == nil {
		ContextOf(ctx).MarkRecorded()
	}
	return err
}

func (a *EntryDraft) body(ctx context.Context) ([]byte, error) {
	if a.Action == "" {
		return nil, fault.New(fault.Internal, "audit.no_action", "a change without the name of its action cannot be recorded")
	}
	return a.Entry(ctx, time.Now()).Encode()
}
