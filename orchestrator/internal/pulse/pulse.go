// Package pulse tells watchers and webhooks that the health of the orchestrator has changed
// (contract Q16).
//
// It owns the last told state and no check: the reasons are those of GET /health. The one rule:
// what is told is stored in the commit of the event, so a restart in the same state tells nothing.
package pulse

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/store"
)

// Times of a Teller.
const (
	lookEvery = time.Second
	settled   = 5 * time.Second  // reasons that change again sooner are not told
	quiet     = 30 * time.Second // between two events
)

// told is what the last event said. There is no document while nothing but the normal state was
// seen.
type told struct {
	At      time.Time `json:"at"`
	Reasons []string  `json:"reasons,omitempty"`
}

var last = store.Table[told]{Kind: "health_told", ID: func(told) string { return "last" }}

// Kinds are the document kinds of this package, for the schema of the service.
func Kinds() []store.Kind { return []store.Kind{{Name: last.Kind}} }

// Teller tells of changes while Run runs. Its fields are set in one literal.
type Teller struct {
	DB      store.DB
	Reasons func() []string // why the service is degraded, in a fixed order; none when it is healthy
	Now     func() time.Time
	Log     *slog.Logger

	seen  []string  // at the last look
	since time.Time // when seen began
	known *told     // the stored state; nil before it was read
}

// Run looks at the reasons every second until ctx ends, and then returns nil. A state that could
// not be stored is tried again, and is not told when it is over before.
func (t *Teller) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	t.since = time.Now()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case at := <-tick.C:
			err := t.look(ctx, at)
			if err != nil && !failed && ctx.Err() == nil {
				t.Log.Warn("the change of health cannot be told yet", "error", err)
			}
			failed = err != nil
		}
	}
}

// look tells the reasons when they have stayed long enough and are not what was told last.
func (t *Teller) look(ctx context.Context, at time.Time) error {
	if reasons := t.Reasons(); !slices.Equal(reasons, t.seen) {
		t.seen, t.since = reasons, at
	}
	if at.Sub(t.since) < settled {
		return nil
	}
	if t.known == nil {
		row, err := last.Get(ctx, t.DB, last.ID(told{}))
		if err != nil {
			return err
		}
		t.known = &row.Value
	}
	now := t.Now().UTC()
	// A clock that was put back leaves an age below zero, which must not silence the service.
	age := now.Sub(t.known.At)
	if slices.Equal(t.seen, t.known.Reasons) || age >= 0 && age < quiet {
		return nil
	}
	next := told{At: now, Reasons: t.seen}
	if _, err := store.Update(ctx, t.DB, func(tx *store.Tx) error {
		tx.Append(run.EventStream, body(next))
		return last.Save(tx, next)
	}); err != nil {
		return err
	}
	t.known = &next
	return nil
}

// body returns the bytes of the event.
func body(now told) []byte {
	e := event.Event{Type: event.SystemHealthChanged, Time: now.At, Status: "healthy", Reasons: now.Reasons}
	if len(now.Reasons) > 0 {
		e.Status = "degraded"
	}
	var w canonical.Writer
	e.Write(&w)
	return slices.Clone(w.Body().Bytes())
}
