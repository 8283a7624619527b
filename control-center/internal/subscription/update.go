package subscription

import (
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// SubscriptionEdit says what of a subscription becomes another one; what is nil stays.
type SubscriptionEdit struct {
	Topics   []Topic
	Password *string
	Options  *Options
	Filter   *[]Condition
	Redact   *[]string
}

// Update changes a subscription without losing its queue: what waits is delivered, and other topics
// count for what is published from now on.
func (s *Subscriptions) Update(ctx context.Context, name string, e SubscriptionEdit) error {
	have, err := s.find(ctx, name)
	if err != nil {
		return err
	}
	d := Draft{Name: name, Topics: e.Topics, Options: have.Options}
	var changed []string
	if e.Topics != nil {
		changed = append(changed, "topics")
	}
	if e.Options != nil {
		d.Options, changed = *e.Options, append(changed, "options")
	}
	hash := ""
	if e.Password != nil {
		d.Password, changed = *e.Password, append(changed, "password")
	}
	if e.Filter != nil {
		d.Filter, changed = *e.Filter, append(changed, "filter")
	}
	if e.Redact != nil {
		d.Redact, changed = *e.Redact, append(changed, "redact")
	}
	if err := d.Check(); err != nil {
		return err
	}
	if len(changed) == 0 {
		return fault.New(fault.Invalid, "subscription.nothing",
			"nothing to change: give at least one of realms_topics, password, options, filter, redact")
	}
	if e.Password != nil {
		if hash, err = s.Hasher.Hash(ctx, *e.Password); err != nil {
			return err
		}
	}
	act := change.New("subscription.update", "subscriptions/"+name, map[string]any{"changed": changed})
	return s.onQueue(ctx, name, func(one *flight, _ *Subscription, q store.Row[Queue]) error {
		chosen := false // another filter is in force
		err := s.Changes.Commit(ctx, act, func(tx *store.Tx) error {
			row, err := subscriptions.Load(tx, name)
			if err != nil {
				return err
			}
			sub := row.Value
			if row.Rev == 0 || sub.Generation != q.Value.Generation {
				return ErrUnknown
			}
			if e.Options != nil && e.Options.window() < sub.Options.window() && len(q.Value.Settled) > 0 {
				return errSettled
			}
			sub.Options = d.Options
			if hash != "" {
				sub.PasswordHash = hash
			}
			if e.Topics != nil && !sameTopics(e.Topics, sub.Topics()) {
				head, err := s.head(ctx)
				if err != nil {
					return err
				}
				sub.Routes = append(ahead(sub.Routes, q.Value.Cursor), Route{From: head, Topics: e.Topics})
			}
			if e.Redact != nil {
				sub.Redact = d.Redact
			}
			if chosen = e.Filter != nil && !slices.Equal(d.Filter, sub.Filter); chosen {
				if err := s.newFilter(tx, &sub, q, d.Filter); err != nil {
					return err
				}
			}
			act.Emit(change.SubscriptionUpdated, name, change.Data{Name: name, Changed: changed})
			return subscriptions.Save(tx, sub)
		})
		if err == nil && chosen {
			clear(one.of)
		}
		return err
	})
}

// newFilter gives sub another filter. Numbers that are in flight are never given again, for the
// messages that they mean may be passed over now.
func (s *Subscriptions) newFilter(tx *store.Tx, sub *Subscription, row store.Row[Queue], filter []Condition) error {
	q := row.Value
	if len(q.Settled) > 0 {
		return errSettled
	}
	q.Sequence, q.Counts = q.Sequence+uint64(sub.Options.window()), nil
	q.Updated = s.Now().UTC().Truncate(time.Millisecond)
	sub.Filter = filter
	w, err := queues.Write(q, store.At(row.Rev))
	tx.Add(w)
	return err
}

// ahead returns the routes that still have messages in front of the place cursor.
func ahead(routes []Route, cursor uint64) (kept []Route) {
	for i, r := range routes {
		if i+1 == len(routes) || routes[i+1].From > cursor {
			kept = append(kept, r)
		}
	}
	return kept
}

// errSettled refuses what would give numbers of messages that are acknowledged ahead to others.
var errSettled = fault.New(fault.Conflict, "subscription.in_flight",
	"messages behind the oldest one are acknowledged already; acknowledge the oldest one, then repeat this")

// Rewind makes a subscription get the messages from number from on again, and first returns what it
// is: with a time, the number of the first message since then. What is not kept any more is
// ErrGone.
func (s *Subscriptions) Rewind(ctx context.Context, name string, from uint64, since time.Time) (uint64, error) {
	page, err := s.DB.Read(ctx, directory.Stream, 0, 1)
	if err != nil {
		return 0, err
	}
	if !since.IsZero() {
		if from, err = s.firstSince(ctx, page.First, page.Head, since); err != nil {
			return 0, err
		}
	}
	if from < page.First {
		return 0, fault.New(fault.Gone, "subscription.pruned", "messages are kept from number %d on; ask for that one or a later one",
			page.First)
	}
	act := change.New("subscription.rewind", "subscriptions/"+name, map[string]any{"from": from})
	return from, s.onQueue(ctx, name, func(one *flight, sub *Subscription, row store.Row[Queue]) error {
		q := row.Value
		switch {
		case len(q.Settled) > 0:
			return errSettled
		case from > q.Cursor:
			return fault.New(fault.Conflict, "subscription.ahead",
				"the subscription is at number %d, which is before %d: it gets that message anyway",
				q.Cursor, from)
		}
		err := s.Changes.Commit(ctx, act, func(tx *store.Tx) error {
			definition, err := subscriptions.Load(tx, name)
			if err != nil {
				return err
			}
			if definition.Rev == 0 || definition.Value.Generation != q.Generation {
				return ErrUnknown
			}
			v := definition.Value // what it wants now it gets from before, too
			v.Routes = []Route{{From: from - 1, Topics: v.Topics()}}
			if err := subscriptions.Save(tx, v); err != nil {
				return err
			}
			q.Cursor, q.Counts = from-1, nil
			q.Sequence += uint64(sub.Options.window()) // numbers in flight are never given again
			q.Updated = s.Now().UTC().Truncate(time.Millisecond)
			act.Emit(change.SubscriptionRewound, name, change.Data{Name: name})
			w, err := queues.Write(q, store.At(row.Rev))
			tx.Add(w)
			return err
		})
		if err == nil {
			clear(one.of)
		}
		return err
	})
}

// firstSince returns the number of the first message that was published since then, by halves; one
// above head when there is none.
func (s *Subscriptions) firstSince(ctx context.Context, first, head uint64, since time.Time) (uint64, error) {
	for first <= head {
		middle := first + (head-first)/2
		page, err := s.DB.Read(ctx, directory.Stream, middle-1, 1)
		if err != nil {
			return 0, err
		}
		if len(page.Entries) == 0 {
			return head + 1, nil
		}
		h, _, err := directory.DecodeHeader(page.Entries[0].Body)
		switch {
		case err != nil:
			return 0, err
		case h.At.Before(since):
			first = middle + 1
		case middle == first:
			return first, nil
		default:
			head = middle
		}
	}
	return first, nil
}
