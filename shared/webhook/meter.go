package webhook

import "github.com/provisioning-platform/platform/shared/obs"

// meter counts attempts and dead letters.
type meter struct {
	attempts map[outcome]func()
	dead     func()
}

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
	r.GaugeFunc(service+"_webhook_lag_events", "Events that the slowest active webhook endpoint was not sent yet.", w.lag)
	r.GaugeFunc(service+"_webhook_endpoints_active", "Webhook endpoints that are sent to.", func() float64 {
		w.mu.Lock()
		defer w.mu.Unlock()
		return float64(len(w.senders))
	})
}

func (m *meter) settled(o outcome, s Stage) {
	if m.attempts == nil {
		return
	}
	m.attempts[o]()
	if s == Dead {
		m.dead()
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
