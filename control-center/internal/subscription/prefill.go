package subscription

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// prefillItem is one message of the prefill lane of a queue. Its entry has the form of the
// stream's.
type prefillItem struct {
	Entry string   `json:"entry"`
	ID    string   `json:"id"`
	Parts []string `json:"parts,omitempty"` // ids of the documents with the rest of the body
}

var prefillItems = store.Table[prefillItem]{Kind: "prefill", ID: func(p prefillItem) string { return p.ID }}

func prefillID(generation string, i uint64) string { return fmt.Sprintf("%s/%016x", generation, i) }

// leftover is a prefill lane whose queue is gone or begins anew.
type leftover struct {
	End        uint64 `json:"end"`
	Generation string `json:"generation"`
	Gone       bool   `json:"gone"` // the subscription is deleted: its dead letters go, too
	Next       uint64 `json:"next"`
}

var leftovers = store.Table[leftover]{
	Kind: "prefill_leftover",
	ID:   func(l leftover) string { return prefillID(l.Generation, l.Next) },
}

// cleanSlice is how many items of a lane one commit removes.
const cleanSlice = 200 // each may have a few parts, and a commit has at most 4,096 writes

// removeItem returns the writes that remove item i of a lane with its parts.
func (s *Subscriptions) removeItem(ctx context.Context, generation string, i uint64) (writes []store.Write, err error) {
	row, err := prefillItems.Get(ctx, s.DB, prefillID(generation, i))
	if err != nil || row.Rev == 0 {
		return nil, err
	}
	gone := func(k store.Key) {
		writes = append(writes, store.Write{Key: k, Expect: store.Any(), Action: store.Delete})
	}
	gone(prefillItems.Key(row.Value.ID))
	for _, p := range row.Value.Parts {
		gone(directory.Parts.Key(p))
	}
	return writes, nil
}

// clean removes lanes that nobody reads any more, a slice a commit.
func (s *Subscriptions) clean(ctx context.Context) error {
	for row, err := range leftovers.All(ctx, s.DB, store.Query{}) {
		if err != nil {
			return err
		}
		for l := row.Value; l.Next < l.End; l.Next = min(l.Next+cleanSlice, l.End) {
			var b store.Batch
			for i := l.Next; i < min(l.Next+cleanSlice, l.End); i++ {
				writes, err := s.removeItem(ctx, l.Generation, i)
				if err != nil {
					return err
				}
				b.Writes = append(b.Writes, writes...)
			}
			if len(b.Writes) == 0 {
				continue
			}
			if _, err := s.DB.Commit(ctx, b); err != nil {
				return err
			}
		}
		if row.Value.Gone {
			if err := s.cleanLetters(ctx, row.Value.Generation); err != nil {
				return err
			}
		}
		done := store.Write{Key: leftovers.Key(leftovers.ID(row.Value)), Expect: store.Any(), Action: store.Delete}
		if _, err := s.DB.Commit(ctx, store.Batch{Writes: []store.Write{done}}); err != nil {
			return err
		}
	}
	return nil
}

// cleanLetters removes the dead letters of a subscription that is gone, a slice a commit.
func (s *Subscriptions) cleanLetters(ctx context.Context, generation string) error {
	for {
		rows, _, err := deadLetters.List(ctx, s.DB, store.Query{Index: "queue", Prefix: generation, Exact: true, Limit: cleanSlice})
		if err != nil || len(rows) == 0 {
			return err
		}
		var b store.Batch
		for _, row := range rows {
			for _, p := range row.Value.Parts {
				b.Writes = append(b.Writes, store.Write{Key: directory.Parts.Key(p), Expect: store.Any(), Action: store.Delete})
			}
			b.Writes = append(b.Writes, store.Write{Key: deadLetters.Key(row.Value.ID), Expect: store.Any(), Action: store.Delete})
		}
		if _, err := s.DB.Commit(ctx, b); err != nil {
			return err
		}
	}
}

// SetStatus stores how far the prefill of a subscription is; any state may follow any other
// (contract 1.3). Who sets it has taken the prefill over: no job of this service changes it then.
func (s *Subscriptions) SetStatus(ctx context.Context, name string, status Status) error {
	if !slices.Contains([]Status{Pending, Running, Failed, Done}, status) {
		return fault.New(fault.Invalid, "prefill.bad_status", "the status must be one of pending, running, failed, done").
			With(fault.Field{Pointer: "/status", Message: "must be one of pending, running, failed, done"})
	}
	return s.onQueue(ctx, name, func(_ *flight, _ *Subscription, row store.Row[Queue]) error {
		if row.Value.Status == status && row.Value.Outside {
			return nil
		}
		row.Value.Status, row.Value.Outside = status, true
		if err := s.save(ctx, row); err != nil {
			return err
		}
		s.waiters.wake(prefillKey)
		return nil
	})
}

// AddPrefill appends messages to the prefill lane of a subscription whose prefill is running, and
// stores how far it has come with them. generation is that of the subscription the messages were
// read for: ErrUnknown when it is gone. It returns the queue as it is then.
func (s *Subscriptions) AddPrefill(ctx context.Context, name, generation string, messages []directory.Message, at Progress) (q Queue,
	err error) {
	err = s.onQueue(ctx, name, func(_ *flight, sub *Subscription, row store.Row[Queue]) error {
		q = row.Value
		if sub.Generation != generation {
			return ErrUnknown
		}
		if q.Status != Running || q.Outside {
			return ErrNotRunning
		}
		q.Prefill = at
		var writes []store.Write
		for _, m := range chosenOf(sub.Filter, messages) {
			entry, beside, err := directory.Encode(m, s.Now())
			if err != nil {
				return err
			}
			it := prefillItem{Entry: string(entry), ID: prefillID(generation, q.PrefillEnd)}
			for _, p := range beside {
				w, err := directory.Parts.Write(p, store.Absent())
				if err != nil {
					return err
				}
				it.Parts, writes = append(it.Parts, p.ID), append(writes, w)
			}
			w, err := prefillItems.Write(it, store.Absent())
			if err != nil {
				return err
			}
			q.PrefillEnd, writes = q.PrefillEnd+1, append(writes, w)
		}
		return s.save(ctx, store.Row[Queue]{Value: q, Rev: row.Rev}, writes...)
	})
	return q, err
}

// ErrNotRunning is the answer to items for a prefill that is not running: it was ended or begun
// anew.
var ErrNotRunning = fault.New(fault.Conflict, "prefill.not_running", "the prefill of this subscription is not running")

// BeginPrefill makes a pending prefill run, from where it had come, and returns the queue. One that
// is neither pending nor running is ErrNotRunning.
func (s *Subscriptions) BeginPrefill(ctx context.Context, name, generation string) (q Queue, err error) {
	err = s.onQueue(ctx, name, func(_ *flight, sub *Subscription, row store.Row[Queue]) error {
		q = row.Value
		switch {
		case sub.Generation != generation:
			return ErrUnknown
		case q.Outside:
			return ErrNotRunning
		case q.Status == Running:
			return nil
		case q.Status != Pending:
			return ErrNotRunning
		}
		q.Status = Running
		return s.save(ctx, store.Row[Queue]{Value: q, Rev: row.Rev})
	})
	return q, err
}

// EndPrefill stores how a running prefill has ended: Done or Failed.
func (s *Subscriptions) EndPrefill(ctx context.Context, name, generation string, status Status) error {
	return s.onQueue(ctx, name, func(_ *flight, sub *Subscription, row store.Row[Queue]) error {
		switch {
		case sub.Generation != generation:
			return ErrUnknown
		case row.Value.Status != Running || row.Value.Outside:
			return ErrNotRunning
		}
		row.Value.Status = status
		return s.save(ctx, row)
	})
}

// Unfilled returns the subscriptions whose prefill is pending or running, but for those that are
// filled from outside.
func (s *Subscriptions) Unfilled(ctx context.Context) (views []View, err error) {
	for _, status := range []Status{Pending, Running} {
		for row, err := range queues.All(ctx, s.DB, store.Query{Index: "status", Prefix: string(status), Exact: true}) {
			if err != nil {
				return nil, err
			}
			v, err := s.Get(ctx, row.Value.Name)
			if errors.Is(err, ErrUnknown) || err == nil && v.Queue.Outside {
				continue
			}
			if err != nil {
				return nil, err
			}
			views = append(views, v)
		}
	}
	return views, nil
}

// AwaitPrefill returns a channel that gets a value when a prefill is pending, until remove is
// called.
func (s *Subscriptions) AwaitPrefill() (pending <-chan struct{}, remove func()) {
	return s.waiters.add([]string{prefillKey})
}

// RestartPrefill throws away what is left of the prefill lane and makes the prefill pending again,
// whether it has failed or is done. Numbers that were in flight are never given again: the sequence
// has a gap.
func (s *Subscriptions) RestartPrefill(ctx context.Context, name string) error {
	act := change.New("subscription.prefill", "subscriptions/"+name, nil)
	err := s.onQueue(ctx, name, func(one *flight, sub *Subscription, row store.Row[Queue]) error {
		q := row.Value
		if len(q.Settled) > 0 {
			return fault.New(fault.Conflict, "prefill.in_flight",
				"messages behind the oldest one are acknowledged already; acknowledge the oldest one, then restart the prefill")
		}
		err := s.Changes.Commit(ctx, act, func(tx *store.Tx) error {
			act.Emit(change.PrefillRestarted, name, change.Data{Name: name})
			if q.PrefillNext < q.PrefillEnd {
				if err := leftovers.Save(tx, leftover{Generation: sub.Generation, Next: q.PrefillNext, End: q.PrefillEnd}); err != nil {
					return err
				}
			}
			q.Sequence += uint64(sub.Options.window())
			q.Status, q.Outside, q.PrefillNext, q.Prefill, q.Counts = Pending, false, q.PrefillEnd, Progress{}, nil
			q.Updated = s.Now().UTC().Truncate(time.Millisecond)
			w, err := queues.Write(q, store.At(row.Rev))
			tx.Add(w)
			return err
		})
		if err == nil {
			clear(one.of)
		}
		return err
	})
	if err == nil {
		s.waiters.wake(prefillKey)
	}
	return err
}

// onQueue calls fn with the queue of a subscription, which stays as it is meanwhile.
func (s *Subscriptions) onQueue(ctx context.Context, name string, fn func(*flight, *Subscription, store.Row[Queue]) error) error {
	sub, err := s.find(ctx, name)
	if err != nil {
		return err
	}
	one := s.flights.lock(sub.Generation)
	defer s.flights.unlock(sub.Generation, one)
	row, err := s.queueOf(ctx, &sub)
	if err != nil {
		return err
	}
	if err := fn(one, &sub, row); err != nil {
		return err
	}
	s.waiters.wake(sub.Generation)
	return nil
}
