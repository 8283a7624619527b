package subscription

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
)

// metrics counts what happens to messages. The zero value counts nothing.
type metrics struct {
	published, delivered, redelivered, dead obs.Counter

	subscriptions, pending, failed, letters atomic.Int64
	oldest                                  atomic.Int64 // seconds
}

// Meter shows the queues in the registry, with names that begin with the service's prefix. It is
// called before Run.
func (s *Subscriptions) Meter(m *obs.Registry, prefix string) {
	c := &s.metrics
	c.published = m.Counter(prefix+"_directory_events_published_total", "Directory events that were published over the Provisioning API.")
	c.delivered = m.Counter(prefix+"_directory_events_delivered_total", "Deliveries of directory events to subscriptions.")
	c.redelivered = m.Counter(prefix+"_directory_events_redelivered_total", "Those of them that were not the first of their event.")
	c.dead = m.Counter(prefix+"_directory_events_dead_total", "Directory events that became dead letters.")
	for _, counter := range []obs.Counter{c.published, c.delivered, c.redelivered, c.dead} {
		counter.Add(0) // the series exists before its first event, so that an alert can see it rise
	}
	gauge := func(name, help string, v *atomic.Int64) {
		m.GaugeFunc(prefix+name, help, func() float64 { return float64(v.Load()) })
	}
	gauge("_subscriptions", "Subscriptions to directory events.", &c.subscriptions)
	gauge("_subscriptions_prefill_pending", "Subscriptions whose prefill is pending or running.", &c.pending)
	gauge("_subscriptions_prefill_failed", "Subscriptions whose prefill has failed.", &c.failed)
	gauge("_directory_event_dead_letters", "Dead letters of subscriptions that are kept.", &c.letters)
	gauge("_directory_event_oldest_seconds",
		"Age in seconds of the oldest event that the subscription that is farthest behind has not acknowledged.",
		&c.oldest)
}

// measure reads counters and the queue that is farthest behind.
func (s *Subscriptions) measure(ctx context.Context) error {
	status := func(v Status) store.CounterKey {
		return store.CounterKey{Kind: queues.Kind, Index: "status", Value: string(v)}
	}
	rows, page, err := queues.List(ctx, s.DB, store.Query{Index: "cursor", Limit: 1, Counts: []store.CounterKey{
		{Kind: queues.Kind}, status(Pending), status(Running), status(Failed), {Kind: deadLetters.Kind},
	}})
	if err != nil {
		return err
	}
	c := &s.metrics
	c.subscriptions.Store(int64(page.Counts[0].N))
	c.pending.Store(int64(page.Counts[1].N + page.Counts[2].N))
	c.failed.Store(int64(page.Counts[3].N))
	c.letters.Store(int64(page.Counts[4].N))
	c.oldest.Store(0)
	if len(rows) == 0 {
		return nil
	}
	d, err := s.Depth(ctx, rows[0].Value.Name)
	if err == nil && !d.Oldest.IsZero() {
		c.oldest.Store(int64(max(0, s.Now().Sub(d.Oldest)/time.Second)))
	}
	return err
}
