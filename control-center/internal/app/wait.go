package app

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
)

// wait refuses sign-ins, refreshes and changes after a start until the orchestrator, which has
// witnessed the audit log before, says whether the data folder was put back (decision 52).
type wait struct {
	auditLog  *audit.Log
	peer      *audit.Peer
	limit     time.Duration
	log       *slog.Logger
	over      atomic.Bool // the orchestrator did not come in time
	witnessed bool        // it has witnessed this log before the start
}

// newWait returns the wait of this start. It is over at once for a log that nobody has witnessed
// and for a limit of 0.
func newWait(auditLog *audit.Log, peer *audit.Peer, limit time.Duration, log *slog.Logger) *wait {
	w := &wait{auditLog: auditLog, peer: peer, limit: limit, log: log, witnessed: auditLog.Status().Witnessed > 0}
	w.over.Store(limit == 0 || !w.witnessed)
	return w
}

// admit returns the fault that a request to the route r is refused with, or nil: of sign-ins,
// refreshes and changes while the wait lasts and when the folder was put back. A folder that was
// put back does not know which tokens were revoked since, so people read nothing either; health,
// metrics and the description of the API are served.
func (w *wait) admit(r web.Route) error {
	if r.Mutates() {
		return w.refusal()
	}
	if r.Permission.Takes() == token.Access && r.Limit != web.Free && w.auditLog.Status().State == audit.RolledBack {
		return w.auditLog.Sound()
	}
	return nil
}

// unwitnessed says whether the service grants sign-ins and changes although the orchestrator has
// not said that the folder is the newest.
func (w *wait) unwitnessed() bool { return w.witnessed && w.over.Load() && !w.peer.Met() }

// refusal returns the fault that a change is refused with now, or nil.
func (w *wait) refusal() error {
	if err := w.auditLog.Sound(); err != nil || w.over.Load() || w.peer.Met() {
		return err
	}
	return fault.New(fault.Unavailable, "audit.waiting",
		"this service has just started and waits for the orchestrator, which knows whether its data folder is the newest; at most %s ([audit] wait_for_peer)", w.limit).After(time.Second)
}

// run ends the wait when its time is over. It returns nil.
func (w *wait) run(ctx context.Context) error {
	select {
	case <-time.After(w.limit):
	case <-ctx.Done():
		return nil
	}
	if !w.over.Swap(true) && !w.peer.Met() {
		w.log.WarnContext(ctx, "the orchestrator did not come: serving unwitnessed, so an old data folder that was put back would not be noticed", "waited", w.limit)
	}
	<-ctx.Done()
	return nil
}
