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

// wait keeps a control-center from granting anything after a start until the orchestrator, which has
// witnessed its log before, has said whether the folder was put back (decision 52).
type wait struct {
	ledger *audit.Log
	peer   *audit.Peer
	most   time.Duration
	log    *slog.Logger
	over   atomic.Bool // the orchestrator did not come in time
	before bool        // it has witnessed this log before the start
}

// newWait returns the wait of this start: none for a log that nobody has witnessed yet.
func newWait(ledger *audit.Log, peer *audit.Peer, most time.Duration, log *slog.Logger) *wait {
	w := &wait{ledger: ledger, peer: peer, most: most, log: log, before: ledger.Status().Witnessed > 0}
	w.over.Store(most == 0 || !w.before)
	return w
}

// admit refuses sign-ins, refreshes and changes of a folder that was put back, and while it is not known
// whether it was. A folder that is known to be older does not know which tokens were revoked since, so it
// refuses what people read too; health, metrics and the API's description go on.
func (w *wait) admit(r web.Route) error {
	if r.Mutates() {
		return w.refusal()
	}
	if r.Permission.Takes() == token.Access && r.Limit != web.Free && w.ledger.Status().State == audit.RolledBack {
		return w.ledger.Sound()
	}
	return nil
}

// unwitnessed says whether the service grants things though nobody has said that its folder is the
// newest.
func (w *wait) unwitnessed() bool { return w.before && w.over.Load() && !w.peer.Met() }

// refusal returns the fault that a change is refused with now, nil when it is not.
func (w *wait) refusal() error {
	if err := w.ledger.Sound(); err != nil || w.over.Load() || w.peer.Met() {
		return err
	}
	return fault.New(fault.Unavailable, "audit.waiting",
		"this service has just started and waits for the orchestrator, which knows whether its data folder is the newest; at most %s ([audit] wait_for_peer)", w.most).After(time.Second)
}

// run ends the wait when its time is over.
func (w *wait) run(ctx context.Context) error {
	select {
	case <-time.After(w.most):
	case <-ctx.Done():
		return nil
	}
	if !w.over.Swap(true) && !w.peer.Met() {
		w.log.WarnContext(ctx, "the orchestrator did not come: serving unwitnessed, so an old data folder that was put back would not be noticed", "waited", w.most)
	}
	<-ctx.Done()
	return nil
}
