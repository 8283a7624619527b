package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// The faults of deliveries.
var (
	ErrNoDelivery = fault.New(fault.NotFound, "webhook.delivery_not_found",
		"this webhook has no such delivery; GET /webhooks/{id}/deliveries lists them, "+
			"and the oldest are not kept: a redelivery of a range makes them again from the events")
	ErrQueueFull = fault.New(fault.Conflict, "webhook.queue_full", "%d deliveries are pending already; wait until they are sent",
		maxPending)
	ErrNotKept = fault.New(fault.Gone, "webhook.not_kept", "the events of this range are not kept any more ([retention] events_max_age)")
)

// Delivery returns one delivery of an endpoint by its id. Faults: ErrNotFound, ErrNoDelivery.
func (w *Webhooks) Delivery(ctx context.Context, endpoint, delivery string) (Delivery, error) {
	if _, err := w.Get(ctx, endpoint); err != nil {
		return Delivery{}, err
	}
	rows, _, err := Deliveries.List(ctx, w.c.DB, store.Query{Index: "delivery", Prefix: delivery, Exact: true, Limit: 1})
	if err != nil {
		return Delivery{}, err
	}
	if len(rows) == 0 || rows[0].Value.Endpoint != endpoint {
		return Delivery{}, ErrNoDelivery
	}
	return rows[0].Value, nil
}

// byStage returns the query that lists the deliveries of an endpoint; with a stage only those in
// it.
func byStage(endpoint string, stage Stage) store.Query {
	return store.Query{Index: "state", Prefix: stateKey(endpoint, stage), Exact: true}
}

// Window returns a page of the deliveries of an endpoint, newest first; with a stage only those in
// it. Faults: ErrNotFound, and those of store.Table.Window.
func (w *Webhooks) Window(ctx context.Context, endpoint string, stage Stage, p store.Place) (store.Window[Delivery], error) {
	if _, err := w.Get(ctx, endpoint); err != nil {
		return store.Window[Delivery]{}, err
	}
	stages := []Stage{stage}
	if stage == "" {
		stages = []Stage{Pending, Delivered, Dead}
	}
	var ranges []store.Query
	for _, s := range stages {
		ranges = append(ranges, byStage(endpoint, s))
	}
	return Deliveries.Window(ctx, w.c.DB, p, ranges...)
}

// Test queues a delivery of TestEvent. accept gets it before it is stored.
func (w *Webhooks) Test(ctx context.Context, endpoint string, accept func(Delivery)) error {
	if err := w.enabled(); err != nil {
		return err
	}
	e, err := w.Get(ctx, endpoint)
	if err != nil {
		return err
	}
	if err := w.roomFor(ctx, endpoint); err != nil {
		return err
	}
	head, err := w.c.DB.Read(ctx, w.c.Stream, store.Latest, 0)
	if err != nil {
		return err
	}
	now := w.c.Now()
	d := newDelivery(endpoint, head.Head, Message{Event: TestEvent, At: now, Data: fmt.Appendf(nil, `{"webhook_id":"%s"}`, e.ID)}, now)
	d.ID = id.New()
	d.Key += "/" + d.ID // behind the delivery of the entry itself
	act := w.act("test", endpoint, map[string]any{"delivery": d.ID})
	accept(d)
	_, err = audit.Update(ctx, w.c.DB, &act, func(tx *store.Tx) error {
		return errors.Join(Deliveries.Create(tx, d), w.announce(tx, News{Occurrence: Requeues, Endpoint: endpoint}))
	})
	w.poke(endpoint)
	return err
}

func (w *Webhooks) roomFor(ctx context.Context, endpoint string) error {
	n, err := w.count(ctx, endpoint, Pending)
	if err == nil && n >= maxPending {
		err = ErrQueueFull
	}
	return err
}

// Redeliver queues a delivery again under its id. One that is pending is tried at once. accept gets
// it before it is stored, and its error refuses it.
func (w *Webhooks) Redeliver(ctx context.Context, endpoint, delivery string, accept func(Delivery) error) error {
	if err := w.enabled(); err != nil {
		return err
	}
	d, err := w.Delivery(ctx, endpoint, delivery)
	if err != nil {
		return err
	}
	if err := w.roomFor(ctx, endpoint); err != nil {
		return err
	}
	act := w.act("redeliver", endpoint, map[string]any{"delivery": d.ID})
	_, err = audit.Update(ctx, w.c.DB, &act, func(tx *store.Tx) error {
		row, err := Deliveries.Load(tx, d.Key)
		if err != nil {
			return err
		}
		if row.Rev == 0 {
			return ErrNoDelivery
		}
		row.Value.again(w.c.Now())
		return errors.Join(accept(row.Value), Deliveries.Save(tx, row.Value),
			w.announce(tx, News{Occurrence: Requeues, Endpoint: endpoint}))
	})
	w.poke(endpoint)
	return err
}

// Range is a part of the stream, both ends included.
type Range struct {
	From, To uint64
	DeadOnly bool // only what was given up
}

// Requeued says what became of a range.
type Requeued struct {
	Queued  int      // deliveries that will be sent
	NotKept int      // entries that were trimmed, with no delivery left of them
	Events  []string // names of what is queued, each once
}

// add counts a delivery of an event.
func (r *Requeued) add(event string) {
	r.Queued++
	if !slices.Contains(r.Events, event) {
		r.Events = append(r.Events, event)
	}
}

// RedeliverRange queues what an endpoint wants of a range: deliveries that are settled under their
// ids, and entries that it never got, also those from before it was made. accept gets what became
// of the range before that is stored, and its error refuses it. Faults: Invalid for the range,
// ErrNotFound, ErrQueueFull, ErrNotKept when nothing is left of it, and those of accept.
func (w *Webhooks) RedeliverRange(ctx context.Context, endpoint string, r Range, accept func(Requeued) error) error {
	if err := w.enabled(); err != nil {
		return err
	}
	if r.From < 1 || r.To < r.From || r.To-r.From >= MaxRange {
		return badField("/to", "the range must begin at 1 or later, not end before it begins, and hold at most %d sequences",
			MaxRange)
	}
	if err := w.roomFor(ctx, endpoint); err != nil {
		return err
	}
	act := w.act("redeliver", endpoint, map[string]any{"dead_only": r.DeadOnly, "from": r.From, "to": r.To})
	_, err := audit.Update(ctx, w.c.DB, &act, func(tx *store.Tx) error {
		var out Requeued
		e, err := Endpoints.Load(tx, endpoint)
		if err != nil {
			return err
		}
		if e.Rev == 0 {
			return ErrNotFound
		}
		had, err := w.requeue(tx, endpoint, r, &out)
		if err == nil && !r.DeadOnly {
			err = w.fill(tx, &e.Value, r, had, &out)
		}
		if err == nil && out.Queued == 0 && out.NotKept > 0 {
			err = ErrNotKept
		}
		act.Details["queued"] = out.Queued
		return errors.Join(err, accept(out), w.announce(tx, News{Occurrence: Requeues, Endpoint: endpoint}))
	})
	w.poke(endpoint)
	return err
}

// requeue queues the settled deliveries of a range again and returns the sequences that have a
// delivery.
func (w *Webhooks) requeue(tx *store.Tx, endpoint string, r Range, out *Requeued) (map[uint64]bool, error) {
	had := map[uint64]bool{}
	q := store.Query{Prefix: endpoint + "/", After: store.Cursor{ID: deliveryKey(endpoint, r.From-1) + "0"}}
	for row, err := range Deliveries.All(tx.Context(), w.c.DB, q) {
		if err != nil {
			return nil, err
		}
		d := row.Value
		if d.Seq > r.To {
			break
		}
		if d.Event == TestEvent {
			continue
		}
		had[d.Seq] = true
		if d.Stage == Pending || (r.DeadOnly && d.Stage != Dead) {
			continue
		}
		d.again(w.c.Now())
		out.add(d.Event)
		if err := Deliveries.Save(tx, d); err != nil {
			return nil, err
		}
	}
	return had, nil
}

// fill queues the entries of a range that have no delivery.
func (w *Webhooks) fill(tx *store.Tx, e *Endpoint, r Range, had map[uint64]bool, out *Requeued) error {
	page, err := w.c.DB.Read(tx.Context(), w.c.Stream, r.From-1, int(r.To-r.From+1))
	if err != nil {
		return err
	}
	for seq := r.From; seq <= r.To && seq < page.First; seq++ {
		if !had[seq] {
			out.NotKept++
		}
	}
	for _, entry := range page.Entries {
		if entry.Seq > r.To {
			break
		}
		if had[entry.Seq] {
			continue
		}
		if m, ok := w.c.Render(entry.Body); ok && e.wants(m.Event) {
			out.add(m.Event)
			err = errors.Join(err, Deliveries.Save(tx, newDelivery(e.ID, entry.Seq, m, w.c.Now())))
		}
	}
	return err
}
