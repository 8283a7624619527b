package webhook

import (
	"time"

	"github.com/provisioning-platform/platform/shared/obs"
)

// meter counts attempts and dead letters, and measures how late what is taken was.
type meter struct {
	attempts map[outcome]func()
	dead     func()
	late     func(seconds float64)
}

// lateBuckets are the upper bounds of the lag of a delivery in seconds: a first attempt takes
// milliseconds, the others follow DefaultSchedule.
var lateBuckets = []float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 600, 3600, 6 * 3600, 24 * 3600, 4 * 24 * 3600}

// Meter registers the metrics of webhooks for a service. Call it once, before Run.
func (w *Webhooks) Meter(r *obs.Registry, service string) {
	attempts := r.Counter(service+"_webhook_attempts_total", "Requests to webhook receivers, by outcome.", "outcome")
	w.meter.attempts = map[outcome]func(){}
	for o, name := range map[outcome]string{received: "delivered", failed: "failed", refused: "refused"} {
		attempts.Add(0, name)
		w.meter.attempts[o] = attempts.At(name)
	}
	dead := r.Counter(service+"_webhook_dead_letters_total", "Webhook deliveries that were given up.")
	dead.Add(0)
	w.meter.dead = dead.At()
	w.meter.late = r.Histogram(service+"_webhook_delivery_lag_seconds",
		"Seconds from an event to its receipt by a webhook receiver, by delivery.", lateBuckets).At()
	r.GaugeFunc(service+"_webhook_lag_events", "Events that the slowest active webhook endpoint was not sent yet.", w.lag)
	r.GaugeFunc(service+"_webhook_endpoints_active", "Webhook endpoints that are sent to.", func() float64 {
		w.mu.Lock()
		defer w.mu.Unlock()
		return float64(len(w.senders))
	})
}

// settled counts an attempt and what became of its delivery. One that was asked for again is not
// measured: it is as late as somebody wanted it to be.
func (m *meter) settled(o outcome, d *Delivery, now time.Time) {
	if m.attempts == nil {
		return
	}
	m.attempts[o]()
	switch {
	case d.Stage == Dead:
		m.dead()
	case d.Stage == Delivered && len(d.Attempts) <= d.Tries:
		m.late(now.Sub(d.At).Seconds())
	}
}

// lag returns how many events the slowest endpoint is behind: not queued yet, or queued and
// pending.
func (w *Webhooks) lag() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	most := uint64(0)
	for _, s := range w.senders {
		most = max(most, s.follower.Lag()+uint64(max(s.pending.Load(), 0)))
	}
	return float64(most)
}
