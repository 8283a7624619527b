package subscription

import (
	"context"
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// MaxWait is how long Next waits at most (contract 4.3).
const MaxWait = 300 * time.Second

// Reason says why Next returned no message: the original's null does not tell (contract 2.3).
type Reason string

// The reasons.
const (
	Empty          Reason = "empty"           // nothing waits
	PrefillPending Reason = "prefill-pending" // the prefill is not done yet
	PrefillFailed  Reason = "prefill-failed"  // the prefill has failed and has to be restarted
	InFlight       Reason = "in-flight"       // what was delivered is not acknowledged yet
)

// Delivered is one delivery of a message.
type Delivered struct {
	directory.Message
	Sequence uint64 // its number in this subscription, from 1
	Count    int    // deliveries of it, this one among them
}

// ErrPassword ends what waits for a subscription whose password was changed meanwhile.
var ErrPassword = fault.New(fault.Unauthenticated, "subscription.password_changed",
	"the password of this subscription was changed; come with the new one")

// Reader fetches from one queue. It ends with the password that it was opened under, and is
// nobody's after its subscription is deleted, also when another one has that name then.
type Reader struct {
	s   *Subscriptions
	sub Subscription
}

// Open returns a reader of the queue of a subscription, or ErrUnknown.
func (s *Subscriptions) Open(ctx context.Context, name string) (*Reader, error) {
	sub, err := s.find(ctx, name)
	return &Reader{s, sub}, err
}

// Next is Reader.Next of a reader that is opened for it.
func (s *Subscriptions) Next(ctx context.Context, name string, wait time.Duration, pop bool) (*Delivered, Reason, error) {
	r, err := s.Open(ctx, name)
	if err != nil {
		return nil, "", err
	}
	return r.Next(ctx, wait, pop)
}

// refresh reads the subscription again, whose topics and options may be others by now.
func (r *Reader) refresh(ctx context.Context) error {
	now, err := r.s.find(ctx, r.sub.Name)
	switch {
	case err != nil:
		return err
	case now.Generation != r.sub.Generation:
		return ErrUnknown
	case now.PasswordHash != r.sub.PasswordHash:
		return ErrPassword
	}
	r.sub = now
	return nil
}

// Next returns the oldest message of the subscription that is not in flight, or why there is none
// after waiting for one. The message is in flight until it is acknowledged or given back, at most
// as long as the subscription's options say. With pop it leaves the queue at once. A deleted
// subscription ends the wait with ErrUnknown, another password with ErrPassword, and ctx with its
// error.
func (r *Reader) Next(ctx context.Context, wait time.Duration, pop bool) (*Delivered, Reason, error) {
	s := r.s
	timeout := time.NewTimer(max(0, min(wait, MaxWait)))
	defer timeout.Stop()
	for {
		if err := r.refresh(ctx); err != nil {
			return nil, "", err
		}
		sub := r.sub
		woken, remove := s.waiters.add(append(s.topics.digests(sub.Generation, sub.Topics()), sub.Generation))
		found, reason, again, err := s.look(ctx, sub, pop)
		if found != nil || err != nil {
			remove()
			return found, "", err
		}
		if again <= 0 {
			again = MaxWait
		}
		retry := time.NewTimer(again)
		var over bool
		select {
		case <-woken:
		case <-retry.C:
		case <-timeout.C:
			over = true
		case <-ctx.Done():
			err = ctx.Err()
		}
		retry.Stop()
		remove()
		if over || err != nil {
			return nil, reason, err
		}
	}
}

// atOnce is a pause that is none: look has changed the queue and is to be called again.
const atOnce = time.Nanosecond

// look chooses the next message of a queue and delivers it. Without one it says why, and after
// which time there may be one though nothing wakes whoever waits; 0 is never.
func (s *Subscriptions) look(ctx context.Context, sub Subscription, pop bool) (*Delivered, Reason, time.Duration, error) {
	one := s.flights.lock(sub.Generation)
	defer s.flights.unlock(sub.Generation, one)
	row, err := s.queueOf(ctx, &sub)
	if err != nil {
		return nil, "", 0, err
	}
	q := &row.Value
	switch q.Status {
	case Done:
	case Failed:
		return nil, PrefillFailed, 0, nil
	default:
		return nil, PrefillPending, 0, nil
	}
	if moved, err := s.skip(ctx, &sub, one, row); moved || err != nil {
		return nil, Empty, atOnce, err
	}
	items, chosen, reason, again, err := s.choose(ctx, &sub, one, q)
	if err != nil || chosen == nil {
		return nil, reason, again, err
	}
	message, err := s.message(ctx, sub.Generation, *chosen)
	if err != nil {
		return nil, "", 0, err
	}
	if !chosen.prefill && message.Unfit == "" && !wants(sub.Filter, message.Body) { // others are in flight: its number is not given again
		return nil, InFlight, atOnce, s.settle(ctx, one, &sub, row, items, chosen.seq)
	}
	d := &Delivered{Message: message, Sequence: chosen.seq, Count: max(one.count(chosen.seq), q.Counts[chosen.seq]) + 1}
	why := message.Unfit
	if most := sub.Options.MaxDeliveries; why == "" && most > 0 && d.Count > most {
		why = fmt.Sprintf("it was not acknowledged after %d deliveries", most)
	}
	if why != "" {
		if err := s.bury(ctx, one, &sub, row, items, *chosen, message, why); err != nil {
			return nil, "", 0, err
		}
		return nil, InFlight, atOnce, nil
	}
	d.Body = redact(sub.Redact, d.Body)
	s.metrics.delivered.Inc()
	if d.Count > 1 {
		s.metrics.redelivered.Inc()
	}
	if pop {
		return d, "", 0, s.settle(ctx, one, &sub, row, items, chosen.seq)
	}
	if d.Count > 1 || sub.Options.Strict || sub.Options.MaxDeliveries > 0 {
		if q.Counts == nil {
			q.Counts = map[uint64]int{}
		}
		q.Counts[chosen.seq] = d.Count
		if err := s.save(ctx, row); err != nil {
			return nil, "", 0, err
		}
	}
	one.of[chosen.seq] = &delivery{until: s.Now().Add(sub.Options.redelivery()), count: d.Count}
	return d, "", 0, nil
}

// firstLook is how many messages choose reads at first.
const firstLook = 8

// choose returns what flight.choose says of the first messages of a queue, and those it has read:
// as many as it takes, for each costs a row of each list that the subscription wants.
func (s *Subscriptions) choose(ctx context.Context, sub *Subscription, one *flight, q *Queue) (items []item, chosen *item,
	reason Reason, again time.Duration, err error) {
	window := sub.Options.window()
	for n := max(firstLook, q.reach(q.Sequence+1)); ; n *= 2 {
		n = min(n, window)
		if items, err = s.upcoming(ctx, sub, q, n); err != nil {
			return nil, nil, "", 0, err
		}
		chosen, reason, again = one.choose(q, items, s.Now())
		if chosen != nil || len(items) < n || n == window {
			return items, chosen, reason, again, nil
		}
	}
}

// choose returns the first item that can be delivered now, or why there is none and when there may
// be one. Of one object only the oldest message is in flight.
func (f *flight) choose(q *Queue, items []item, now time.Time) (chosen *item, reason Reason, again time.Duration) {
	reason = Empty
	objects := map[string]bool{}
	for i, it := range items {
		if q.settled(it.seq) {
			continue
		}
		busy := it.object != "" && objects[it.object]
		objects[it.object] = true
		if d := f.of[it.seq]; d != nil && d.until.After(now) {
			reason = InFlight
			if left := d.until.Sub(now); again == 0 || left < again {
				again = left
			}
			busy = true
		}
		if !busy {
			return &items[i], "", 0
		}
	}
	return nil, reason, again
}

// count returns how often a message was delivered by this process.
func (f *flight) count(seq uint64) int {
	if d := f.of[seq]; d != nil {
		return d.count
	}
	return 0
}

// message reads what an item is.
func (s *Subscriptions) message(ctx context.Context, generation string, it item) (directory.Message, error) {
	entry, err := s.entry(ctx, generation, it)
	if err != nil {
		return directory.Message{}, err
	}
	return directory.Load(ctx, s.DB, entry)
}

// published returns when an item was published, or read for a prefill.
func (s *Subscriptions) published(ctx context.Context, generation string, it item) (time.Time, error) {
	entry, err := s.entry(ctx, generation, it)
	if err != nil {
		return time.Time{}, err
	}
	h, _, err := directory.DecodeHeader(entry)
	return h.At, err
}

// entry reads the entry of an item.
func (s *Subscriptions) entry(ctx context.Context, generation string, it item) ([]byte, error) {
	if it.prefill {
		row, err := prefillItems.Get(ctx, s.DB, prefillID(generation, it.at))
		if err == nil && row.Rev == 0 {
			err = fmt.Errorf("item %d of the prefill %s is missing", it.at, generation)
		}
		return []byte(row.Value.Entry), err
	}
	page, err := s.DB.Read(ctx, directory.Stream, it.at-1, 1)
	if err == nil && (len(page.Entries) == 0 || page.Entries[0].Seq != it.at) {
		err = fmt.Errorf("message %d of the stream %s is missing", it.at, directory.Stream)
	}
	if err != nil {
		return nil, err
	}
	return page.Entries[0].Body, nil
}

// Acknowledge takes a message out of the queue. ErrNoMessage says that the number names none that
// can be acknowledged: of those that were not delivered yet only the oldest ones can, and none with
// Strict.
func (s *Subscriptions) Acknowledge(ctx context.Context, name string, seq uint64) error {
	return s.onMessage(ctx, name, seq, func(one *flight, sub *Subscription, row store.Row[Queue], items []item) error {
		return s.settle(ctx, one, sub, row, items, seq)
	})
}

// Postpone makes a message in flight be delivered again after a pause: 0 gives it back at once, and
// a longer one is for who still works on it.
func (s *Subscriptions) Postpone(ctx context.Context, name string, seq uint64, pause time.Duration) error {
	return s.onMessage(ctx, name, seq, func(one *flight, _ *Subscription, row store.Row[Queue], _ []item) error {
		d := one.of[seq]
		if n := row.Value.Counts[seq]; d == nil && n > 0 { // an earlier process has delivered it
			d = &delivery{count: n}
			one.of[seq] = d
		}
		if d == nil {
			return ErrNoMessage
		}
		d.until = s.Now().Add(max(0, min(pause, maxVisible)))
		return nil
	})
}

// onMessage calls fn with what a message of a queue stands in, which stays as it is meanwhile.
func (s *Subscriptions) onMessage(ctx context.Context, name string, seq uint64,
	fn func(*flight, *Subscription, store.Row[Queue], []item) error) error {
	return s.onQueue(ctx, name, func(one *flight, sub *Subscription, row store.Row[Queue]) error {
		if row.Value.Status != Done || row.Value.settled(seq) ||
			sub.Options.Strict && one.of[seq] == nil && row.Value.Counts[seq] == 0 {
			return ErrNoMessage
		}
		items, err := s.upcoming(ctx, sub, &row.Value, min(row.Value.reach(seq), sub.Options.window()))
		if err != nil {
			return err
		}
		if len(items) == 0 || items[len(items)-1].seq < seq {
			return ErrNoMessage
		}
		return fn(one, sub, row, items)
	})
}

// settle commits that a message has left the queue, with the writes beside that, and wakes who
// waits for the next one.
func (s *Subscriptions) settle(ctx context.Context, one *flight, sub *Subscription, row store.Row[Queue], items []item, seq uint64,
	writes ...store.Write) error {
	gone := row.Value.settle(items, seq)
	for _, it := range gone {
		more, err := s.removeItem(ctx, sub.Generation, it.at)
		if err != nil {
			return err
		}
		writes = append(writes, more...)
	}
	if err := s.save(ctx, row, writes...); err != nil {
		return err
	}
	delete(one.of, seq)
	s.waiters.wake(sub.Generation)
	return nil
}

// save commits a queue whose place moved, with the writes beside it.
func (s *Subscriptions) save(ctx context.Context, row store.Row[Queue], beside ...store.Write) error {
	row.Value.Updated = s.Now().UTC().Truncate(time.Millisecond)
	w, err := queues.Write(row.Value, store.At(row.Rev))
	if err != nil {
		return err
	}
	_, err = s.DB.Commit(ctx, store.Batch{Writes: append(beside, w)})
	return err
}
