// Package admission says whether a control-center that has just started may grant anything. Its
// data folder may be an older one that was put back, and only the orchestrator, which has witnessed
// its audit log, knows (decision 52).
//
// It owns the wait for that word, and neither the log nor its witness (package audit). The one
// rule: run Wait.Run beside the server, or a start without the orchestrator waits for ever.
package admission

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
)

// Wait refuses sign-ins, refreshes and changes after a start until the orchestrator, which has
// witnessed the audit log before, says whether the data folder was put back (decision 52).
type Wait struct {
	auditLog  *audit.Log
	peer      *audit.Peer
	limit     time.Duration
	log       *slog.Logger
	over      atomic.Bool // the orchestrator did not come in time
	witnessed bool        // it has witnessed this log before the start
}

// New returns the wait of this start. It is over at once for a log that nobody has witnessed
// and for a limit of 0.
func New(auditLog *audit.Log, peer *audit.Peer, limit time.Duration, log *slog.Logger) *Wait {
	w := &Wait{auditLog: auditLog, peer: peer, limit: limit, log: log, witnessed: auditLog.Status().Witnessed > 0}
	w.over.Store(limit == 0 || !w.witnessed)
	return w
}

// Reads returns the fault that reads of people are refused with, or nil: of a folder that was put
// back, which does not know which tokens were revoked since.
func (w *Wait) Reads() error {
	if w.auditLog.Status().State == audit.RolledBack {
		return w.auditLog.Sound()
	}
	return nil
}

// Unwitnessed says whether the service grants sign-ins and changes although the orchestrator has
// not said that the folder is the newest.
func (w *Wait) Unwitnessed() bool { return w.witnessed && w.over.Load() && !w.peer.Met() }

// Changes returns the fault that sign-ins, refreshes and changes are refused with now, or nil:
// while the wait lasts and when the folder was put back.
func (w *Wait) Changes() error {
	if err := w.auditLog.Sound(); err != nil || w.over.Load() || w.peer.Met() {
		return err
	}
	return fault.New(fault.Unavailable, "audit.waiting",
		"this service has just started and waits for the orchestrator, which knows whether its data folder is the newest; at most %s "+
			"([audit] wait_for_peer)", w.limit).After(time.Second)
}

// Run ends the wait when its time is over. It returns nil.
func (w *Wait) Run(ctx context.Context) error {
	select {
	case <-time.After(w.limit):
	case <-ctx.Done():
		return nil
	}
	if !w.over.Swap(true) && !w.peer.Met() {
		w.log.WarnContext(ctx, "the orchestrator did not come: serving unwitnessed, so an old data folder that was put back would not "+
			"be noticed", "waited", w.limit)
	}
	<-ctx.Done()
	return nil
}
