package feed

import (
	"context"
	"errors"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
)

// commitMeter shows what commits cost and what keeps them from the store. The zero one counts
// nothing.
type commitMeter struct {
	took   func(seconds float64)
	failed map[string]func()
}

// The reasons for which a commit fails, as a metric shows them.
const (
	reasonConflict  = "conflict"    // somebody was faster, which is nobody's fault
	reasonCancelled = "cancelled"   // who wanted it has given up
	reasonFull      = "full"        // the disk has no room
	reasonAway      = "unavailable" // the store does not answer, or the outcome is unknown
	reasonOther     = "other"
)

// Meter registers the metrics of the store, whose names begin with prefix. Call it once, before the
// hub is shared.
func (h *Hub) Meter(r *obs.Registry, prefix string) {
	h.meter.took = r.Histogram(prefix+"_store_commit_seconds", "Seconds until a commit was durable, of those that succeeded.",
		[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}).At()
	failed := r.Counter(prefix+"_store_commit_failures_total", "Commits that failed, by reason; a conflict is no fault of the store.",
		"reason")
	h.meter.failed = map[string]func(){}
	for _, reason := range []string{reasonConflict, reasonCancelled, reasonFull, reasonAway, reasonOther} {
		failed.Add(0, reason)
		h.meter.failed[reason] = failed.At(reason)
	}
}

// committed counts a commit.
func (m *commitMeter) committed(took time.Duration, err error) {
	switch {
	case m.took == nil:
	case err == nil:
		m.took(took.Seconds())
	default:
		m.failed[reasonOf(err)]()
	}
}

func reasonOf(err error) string {
	switch {
	case fault.Is(err, fault.Conflict):
		return reasonConflict
	case fault.CodeOf(err) == "store.full":
		return reasonFull
	case errors.Is(err, context.Canceled):
		return reasonCancelled
	case fault.Is(err, fault.Unavailable):
		return reasonAway
	}
	return reasonOther
}
