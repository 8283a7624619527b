// Package health says how a service is: healthy; degraded, when reads are served and changes
// refused; or not able to serve at all (decision 46). It shows that at GET /health and GET /ready,
// which are open, and as metrics.
//
// It owns no check: what degrades a service is what refuses its changes, so it asks the very
// functions that do. The one rule a caller must know: everybody can read a Reason, so it is a word
// of the fixed list below and says no more.
package health

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/web"
)

// Reason is why a service is degraded.
type Reason string

// The reasons there are (decision 69).
const (
	AuditAltered Reason = "audit.altered" // the audit log is not what was signed
	// the data folder was put back and recovered, and the other service has not accepted it
	AuditForkPending        Reason = "audit.fork_pending"
	AuditRolledBack         Reason = "audit.rolled_back"          // the data folder is an older one
	AuditUnsigned           Reason = "audit.unsigned"             // the audit log cannot be signed
	AuditUnwitnessed        Reason = "audit.unwitnessed"          // the other service did not come after the start; changes are taken
	AuditWaiting            Reason = "audit.waiting"              // just started, the other service has not been heard yet
	ControlCenterRolledBack Reason = "control_center.rolled_back" // it knows less than it has told
	ControlCenterSilent     Reason = "control_center.silent"      // it was not heard for five seconds
	StoreFailed             Reason = "store.failed"               // nothing can be written
	StoreFull               Reason = "store.full"                 // the disk has no room
	Other                   Reason = "other"                      // changes are refused for a reason that has no word here
)

// reasons are all of them, in the order in which they are named.
var reasons = []Reason{AuditAltered, AuditForkPending, AuditRolledBack, AuditUnsigned, AuditUnwitnessed, AuditWaiting,
	ControlCenterRolledBack, ControlCenterSilent, StoreFailed, StoreFull, Other}

// byCode are the reasons behind the codes of refusals whose names differ.
var byCode = map[string]Reason{"control_center.unreachable": ControlCenterSilent, "store.unavailable": StoreFailed}

// Checks is what health is asked about. Its fields are set in one literal.
type Checks struct {
	Title    string                 // "Orchestrator"
	Store    store.DB               // without it nothing can be served; nil: none is asked
	Waits    func() error           // why nothing can be served yet although the store can be read; nil: nothing else is needed
	Refusals []func() error         // each returns the fault that a change is refused with now, nil when it is not
	Notes    map[Reason]func() bool // what holds without refusing anything
	Heard    func() time.Time       // when the other service was last heard; zero: not since the start
}

// probeWithin bounds the look at the store: /health has to answer while the store does not.
const probeWithin = 2 * time.Second

// Serves returns why nothing can be served right now, nil while reads are (decision 3).
func (s *Checks) Serves() error {
	if s.Waits != nil {
		if err := s.Waits(); err != nil {
			return err
		}
	}
	return s.ReadsStore()
}

// ReadsStore returns why the store cannot be read right now, nil when it can.
func (s *Checks) ReadsStore() error {
	if s.Store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeWithin)
	defer cancel()
	if _, err := s.Store.Read(ctx, "events", store.Latest, 0); err != nil {
		return store.ErrUnavailable.Because(err)
	}
	return nil
}

// AwaitServes returns when reads are served, or with the error of ctx.
func (s *Checks) AwaitServes(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.Serves() != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Reasons returns why the service is degraded, in a fixed order, and whether it takes changes.
func (s *Checks) Reasons() (all []Reason, changes bool) {
	changes = true
	for _, refusal := range s.Refusals {
		if err := refusal(); err != nil {
			all, changes = append(all, reasonOf(err)), false
		}
	}
	for reason, holds := range s.Notes {
		if holds() {
			all = append(all, reason)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), changes
}

// Words returns the texts of Reasons.
func (s *Checks) Words() []string {
	all, _ := s.Reasons()
	return words(all)
}

// reasonOf returns the word for a refusal.
func reasonOf(err error) Reason {
	code := fault.CodeOf(err)
	if r, ok := byCode[code]; ok {
		return r
	}
	if r := Reason(code); slices.Contains(reasons, r) {
		return r
	}
	return Other
}

// Routes returns GET /health and GET /ready.
func (s *Checks) Routes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/health", Op: "health",
			Summary: "Whether the service works: healthy, degraded (with reasons: reads are served and changes refused), or 503",
			Example: "Orchestrator is healthy", Permission: web.Open(), Limit: web.Free, Handle: web.To(s.health)},
		{Method: "GET", Path: "/ready", Op: "ready", Summary: "Whether the service takes changes: 200 or 503",
			Example: "Orchestrator is ready", Permission: web.Open(), Limit: web.Free, Handle: web.To(s.ready)},
	}
}

func (s *Checks) health(context.Context, web.None) (web.Notice, error) {
	if err := s.Serves(); err != nil {
		return "", err
	}
	if all, _ := s.Reasons(); len(all) > 0 {
		return web.Notice(s.Title + " is degraded: " + join(all)), nil
	}
	return web.Notice(s.Title + " is healthy"), nil
}

func (s *Checks) ready(context.Context, web.None) (web.Notice, error) {
	if err := s.Serves(); err != nil {
		return "", err
	}
	if all, changes := s.Reasons(); !changes {
		return "", fault.New(fault.Unavailable, "service.degraded", "%s takes no changes now: %s; reads are served", s.Title,
			join(all)).After(time.Second)
	}
	return web.Notice(s.Title + " is ready"), nil
}

func join(all []Reason) string { return strings.Join(words(all), ", ") }

func words(all []Reason) []string {
	texts := make([]string, len(all))
	for i, r := range all {
		texts[i] = string(r)
	}
	return texts
}

// Meter shows in a service's metrics, under names that begin with prefix, each reason as a gauge,
// whether changes are taken, and how many seconds ago the other service was heard, or Meter was
// called when it was not heard since.
func (s *Checks) Meter(r *obs.Registry, prefix string) {
	started := time.Now()
	for _, reason := range reasons {
		r.GaugeFuncOf(prefix+"_degraded", "1 while the service is degraded for that reason.", "reason", string(reason), func() float64 {
			all, _ := s.Reasons()
			return number(slices.Contains(all, reason))
		})
	}
	r.GaugeFunc(prefix+"_ready", "1 while the service takes changes.", func() float64 {
		_, changes := s.Reasons()
		return number(changes && s.Serves() == nil)
	})
	r.GaugeFunc(prefix+"_peer_last_heard_seconds", "Seconds since the other service was heard, or since the start when it was not yet.",
		func() float64 {
			since := s.Heard()
			if since.IsZero() {
				since = started
			}
			return max(0, time.Since(since).Seconds())
		})
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
