package webhook

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
)

// Figures of a sender.
const (
	restAfterFault = time.Second     // when the store failed
	settleWithin   = 5 * time.Second // what the receiver has got is stored also while the service stops
)

// sender works for one endpoint: a follower queues what the endpoint asked for, and send takes it
// one by one. A single request at a time keeps the order of first attempts and leaves at most one
// repetition behind a crash.
type sender struct {
	w        *Webhooks
	endpoint string
	follower *feed.Follower
	wake     chan struct{} // holds one: there is something to send
	room     chan struct{} // holds one: a pending delivery was settled, or the endpoint changed
	pending  atomic.Int64  // as of the last look
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

func (w *Webhooks) start(ctx context.Context, endpoint string) *sender {
	s := &sender{w: w, endpoint: endpoint, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	s.follower = &feed.Follower{Name: Cursor(endpoint), Stream: w.c.Stream, DB: w.c.DB, Start: store.Latest, Handle: s.queue, Log: w.c.Log}
	ctx, s.cancel = context.WithCancel(ctx)
	s.running.Go(func() { _ = s.follower.Run(ctx) })
	s.running.Go(func() { s.send(ctx) })
	return s
}

// rest waits for d or one of the channels, and says false when ctx has ended.
func rest(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// queue stores a delivery for each entry that the endpoint wants. It waits while too many are
// pending, and while the endpoint is not active: then this sender will be stopped, or somebody
// resumes the endpoint before that.
func (s *sender) queue(ctx context.Context, entries []store.Entry) error {
	for {
		row, err := Endpoints.Get(ctx, s.w.c.DB, s.endpoint)
		if err != nil {
			return err
		}
		n, err := s.w.count(ctx, s.endpoint, Pending)
		if err != nil {
			return err
		}
		if row.Value.Condition != Active || n >= maxPending {
			if !rest(ctx, lookEvery, s.room) {
				return ctx.Err()
			}
			continue
		}
		if err := s.store(ctx, row, entries); !fault.Is(err, fault.Conflict) { // else the endpoint was changed at the same moment
			return err
		}
	}
}

// store commits the deliveries of entries, if the endpoint is still as in row.
func (s *sender) store(ctx context.Context, row store.Row[Endpoint], entries []store.Entry) error {
	db := s.w.c.DB
	b := store.Batch{Writes: []store.Write{{Key: Endpoints.Key(s.endpoint), Expect: store.At(row.Rev), Action: store.Check}}}
	for _, e := range entries {
		m, ok := s.w.c.Render(e.Body)
		if !ok || !row.Value.wants(m.Event) {
			continue
		}
		d := newDelivery(s.endpoint, e.Seq, m, s.w.c.Now())
		if old, err := db.Get(ctx, Deliveries.Key(d.Key)); err != nil {
			return err
		} else if old.Exists() { // queued before a crash, or by a redelivery
			continue
		}
		own, err := Deliveries.Write(d, store.Absent())
		if err != nil {
			return err
		}
		b.Writes = append(b.Writes, own)
	}
	if len(b.Writes) == 1 {
		return nil
	}
	_, err := db.Commit(ctx, b)
	if err == nil {
		s.pending.Add(int64(len(b.Writes) - 1))
		wake(s.wake)
	}
	return err
}

// count returns how many deliveries of an endpoint are in a stage.
func (w *Webhooks) count(ctx context.Context, endpoint string, stage Stage) (int, error) {
	page, err := w.c.DB.List(ctx, store.Query{Kind: deliveryKind, Index: "state", Prefix: stateKey(endpoint, stage), Exact: true,
		Total: true})
	return page.Total, err
}

// send takes what is due until ctx ends.
func (s *sender) send(ctx context.Context) {
	for ctx.Err() == nil {
		wait, err := s.next(ctx)
		if err != nil && ctx.Err() == nil {
			s.w.logged("send", err)
			wait = restAfterFault
		}
		wake := s.wake
		if err != nil {
			wake = nil // a rest after a fault is not cut short
		}
		if wait > 0 && !rest(ctx, wait, wake) {
			return
		}
	}
}

// next makes the attempt that is due, and returns how long there is none otherwise.
func (s *sender) next(ctx context.Context) (time.Duration, error) {
	rows, page, err := Deliveries.List(ctx, s.w.c.DB, store.Query{
		Index: "due", Prefix: s.endpoint + "/", Limit: 1,
		Counts: []store.CounterKey{{Kind: deliveryKind, Index: "state", Value: stateKey(s.endpoint, Pending)}},
	})
	if err != nil {
		return 0, err
	}
	s.pending.Store(int64(page.Counts[0].N))
	if len(rows) == 0 {
		return lookEvery, nil
	}
	d := rows[0].Value
	if early := d.Next.Sub(s.w.c.Now()); early > 0 {
		return min(early, lookEvery), nil
	}
	e, err := Endpoints.Get(ctx, s.w.c.DB, s.endpoint)
	if err != nil || e.Value.Condition != Active {
		return lookEvery, err
	}
	m := Message{Event: d.Event, At: d.At, Data: dataOf(d.Payload)}
	why, err := s.w.allowed(ctx, e.Value.Maker(), m)
	if err != nil {
		return 0, err
	}
	if why != "" {
		return 0, s.w.pauseFor(ctx, s.endpoint, "its maker may not read what it is sent: "+why)
	}
	secrets, err := s.w.reveal(&e.Value, s.w.c.Now())
	if err != nil {
		return 0, s.w.pauseFor(ctx, s.endpoint, "its secret cannot be opened: "+err.Error())
	}
	a := s.w.attempt(ctx, &e.Value, secrets, &d)
	if ctx.Err() != nil && a.outcome != received {
		return 0, ctx.Err() // the attempt was broken off, so it says nothing
	}
	// While the store takes nothing (its disk is full), the attempt is kept here and not made
	// again.
	for {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
		err = s.w.settle(last, d.Key, a)
		cancel()
		if s.w.logged("store an attempt", err) || !rest(ctx, restAfterFault, nil) {
			wake(s.room)
			return 0, err
		}
	}
}

// allowed asks whether a maker may read a message.
func (w *Webhooks) allowed(ctx context.Context, maker Maker, m Message) (string, error) {
	if maker.ID == FileOwner || m.Event == TestEvent || w.c.Allowed == nil {
		return "", nil
	}
	return w.c.Allowed(ctx, maker, m)
}

// settle stores what became of an attempt, and pauses the endpoint when the receiver is gone.
func (w *Webhooks) settle(ctx context.Context, key string, a attempted) error {
	var d Delivery
	counts := false
	_, err := store.Update(ctx, w.c.DB, func(tx *store.Tx) error {
		row, err := Deliveries.Load(tx, key)
		d = row.Value
		counts = err == nil && d.Stage == Pending
		if !counts { // the endpoint was deleted meanwhile, or this is stored already and only the pause was not
			return err
		}
		d.note(a.Attempt)
		pause, more := pauseAfter(w.c.Schedule, d.Tries, a.asked)
		switch {
		case a.outcome == received:
			d.Stage = Delivered
		case a.outcome == refused:
			d.Stage, d.Cause = Dead, a.cause()
		case more:
			d.Next = w.c.Now().UTC().Add(pause)
		default:
			d.Stage, d.Cause = Dead, a.cause()
		}
		if d.Stage != Pending {
			excess, err := w.excess(ctx, d.Endpoint, d.Stage)
			if err != nil {
				return err
			}
			for _, k := range excess {
				tx.Delete(k)
			}
		}
		if d.Stage == Dead {
			err = w.announce(tx, News{Occurrence: GaveUp, Endpoint: d.Endpoint, Reason: d.Cause, Delivery: d.ID, Event: d.Event})
		}
		return errors.Join(err, Deliveries.Save(tx, d))
	})
	if err != nil {
		return err
	}
	if counts {
		w.meter.settled(a.outcome, &d, w.c.Now())
	}
	if d.Stage != Dead {
		return nil
	}
	w.c.Log.Warn("webhook delivery is given up", "endpoint", d.Endpoint, "delivery", d.ID, "event", d.Event, "tries", d.Tries, "cause",
		d.Cause)
	if a.Status == gone {
		return w.pauseFor(ctx, d.Endpoint, "the receiver answered 410: it is gone for good")
	}
	if a.outcome == failed {
		return w.pauseSilent(ctx, &d)
	}
	return nil
}

// excess returns the oldest deliveries in a stage that are more than is kept.
func (w *Webhooks) excess(ctx context.Context, endpoint string, stage Stage) ([]store.Key, error) {
	n, err := w.count(ctx, endpoint, stage)
	if err != nil || n < maxSettled {
		return nil, err
	}
	page, err := w.c.DB.List(ctx, store.Query{Kind: deliveryKind, Index: "state", Prefix: stateKey(endpoint, stage), Exact: true,
		Limit: min(n-maxSettled+1, store.MaxPage)})
	keys := make([]store.Key, 0, len(page.Docs))
	for _, d := range page.Docs {
		keys = append(keys, d.Key)
	}
	return keys, err
}

// pauseSilent pauses an endpoint that took nothing in the whole time of a schedule: its follower
// then keeps its place, and what comes meanwhile is sent when somebody resumes it.
func (w *Webhooks) pauseSilent(ctx context.Context, d *Delivery) error {
	rows, _, err := Deliveries.List(ctx, w.c.DB,
		store.Query{Index: "state", Prefix: stateKey(d.Endpoint, Delivered), Exact: true, Reverse: true, Limit: 1})
	if err != nil {
		return err
	}
	if len(rows) > 0 && len(rows[0].Value.Attempts) > 0 && rows[0].Value.Attempts[len(rows[0].Value.Attempts)-1].At.After(d.Queued) {
		return nil
	}
	return w.pauseFor(ctx, d.Endpoint, "the receiver took nothing in a whole schedule of attempts; the last one: "+d.Cause)
}

// pauseFor pauses an active endpoint by itself, with one audit entry and one event.
func (w *Webhooks) pauseFor(ctx context.Context, endpoint, reason string) error {
	err := w.pause(ctx, News{Occurrence: Halted, Endpoint: endpoint, Reason: reason})
	if err == nil {
		w.c.Log.Warn("webhook endpoint is paused", "endpoint", endpoint, "reason", reason)
	}
	return err
}
