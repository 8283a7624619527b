package subscription

import (
	"context"
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/store"
)

// maxReason is the longest reason of a dead letter in bytes.
const maxReason = 1024

// DeadLetter is a message that a subscription could not handle. It keeps the message, so that it
// outlives the stream.
type DeadLetter struct {
	At         time.Time `json:"at"`
	Entry      string    `json:"entry"` // of the stream's form
	Generation string    `json:"generation"`
	ID         string    `json:"id"`              // deadID
	Parts      []string  `json:"parts,omitempty"` // ids of the documents with the rest of the body
	Reason     string    `json:"reason"`
	Sequence   uint64    `json:"sequence"`
	Topic      string    `json:"topic"` // for people: realm and topic
}

var deadLetters = store.Table[DeadLetter]{
	Kind:  "message_dead_letter",
	ID:    func(l DeadLetter) string { return l.ID },
	Index: func(l DeadLetter) []store.IndexKey { return []store.IndexKey{{Name: "queue", Value: l.Generation}} },
}

func deadID(generation string, seq uint64) string { return generation + "/" + numberID(seq) }

// ErrNoDeadLetter is the answer to a number that no dead letter of a subscription has.
var ErrNoDeadLetter = fault.New(fault.NotFound, "dead_letter.not_found", "this subscription has no dead letter with this number")

// Bury takes a message in flight out of the queue and keeps it as a dead letter with the reason, so
// that those behind it are delivered.
func (s *Subscriptions) Bury(ctx context.Context, name string, seq uint64, reason string) error {
	return s.onMessage(ctx, name, seq, func(one *flight, sub *Subscription, row store.Row[Queue], items []item) error {
		for _, it := range items {
			if it.seq == seq {
				m, err := s.message(ctx, sub.Generation, it)
				if err != nil {
					return err
				}
				return s.bury(ctx, one, sub, row, items, it, m, naming.Clip(reason, maxReason))
			}
		}
		return ErrNoMessage
	})
}

// bury commits that a message is a dead letter.
func (s *Subscriptions) bury(ctx context.Context, one *flight, sub *Subscription, row store.Row[Queue], items []item, it item,
	m directory.Message, reason string) error {
	entry, beside, err := directory.Encode(m, s.Now())
	if err != nil {
		return err
	}
	l := DeadLetter{At: s.Now().UTC().Truncate(time.Millisecond), Entry: string(entry), Generation: sub.Generation,
		ID: deadID(sub.Generation, it.seq), Reason: reason, Sequence: it.seq, Topic: m.Realm + " " + m.Topic}
	var writes []store.Write
	for _, p := range beside {
		w, err := directory.Parts.Write(p, store.Absent())
		if err != nil {
			return err
		}
		l.Parts, writes = append(l.Parts, p.ID), append(writes, w)
	}
	w, err := deadLetters.Write(l, store.Absent())
	if err != nil {
		return err
	}
	s.metrics.dead.Inc()
	s.Log.Warn("a message is a dead letter", "subscription", sub.Name, "number", it.seq, "reason", reason)
	return s.settle(ctx, one, sub, row, items, it.seq, append(writes, w)...)
}

// DeadLetters returns up to limit dead letters of a subscription with numbers above after, in their
// order, and how many there are.
func (s *Subscriptions) DeadLetters(ctx context.Context, name string, after uint64, limit int) (letters []DeadLetter, total int,
	err error) {
	sub, err := s.find(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	rows, page, err := deadLetters.List(ctx, s.DB, store.Query{
		Index: "queue", Prefix: sub.Generation, Exact: true, Total: true, Limit: limit,
		After: store.Cursor{Value: sub.Generation, ID: deadID(sub.Generation, after)},
	})
	for _, row := range rows {
		letters = append(letters, row.Value)
	}
	return letters, page.Total, err
}

// DeadLetter returns one dead letter and its message, or ErrNoDeadLetter.
func (s *Subscriptions) DeadLetter(ctx context.Context, name string, seq uint64) (DeadLetter, directory.Message, error) {
	sub, l, m, err := s.letter(ctx, name, seq)
	m.Body = redact(sub.Redact, m.Body)
	return l, m, err
}

// letter returns a dead letter, its message as it was published, and its subscription.
func (s *Subscriptions) letter(ctx context.Context, name string, seq uint64) (sub Subscription, l DeadLetter, m directory.Message,
	err error) {
	if sub, err = s.find(ctx, name); err != nil {
		return sub, l, m, err
	}
	row, err := deadLetters.Get(ctx, s.DB, deadID(sub.Generation, seq))
	if err == nil && row.Rev == 0 {
		err = ErrNoDeadLetter
	}
	if err != nil {
		return sub, l, m, err
	}
	m, err = directory.Load(ctx, s.DB, []byte(row.Value.Entry))
	return sub, row.Value, m, err
}

// Requeue puts a dead letter at the end of its subscription's queue, in one commit. It gets a new
// number.
func (s *Subscriptions) Requeue(ctx context.Context, name string, seq uint64) error {
	return s.endLetter(ctx, name, seq, "dead_letter.requeue", change.DeadLetterRequeued, true)
}

// Drop removes a dead letter for good.
func (s *Subscriptions) Drop(ctx context.Context, name string, seq uint64) error {
	return s.endLetter(ctx, name, seq, "dead_letter.drop", change.DeadLetterDropped, false)
}

// endLetter removes a dead letter, and publishes its message again to its subscription alone.
func (s *Subscriptions) endLetter(ctx context.Context, name string, seq uint64, action string, event change.Type, again bool) error {
	_, l, m, err := s.letter(ctx, name, seq)
	if err != nil {
		return err
	}
	act := change.New(action, fmt.Sprintf("subscriptions/%s/%d", name, seq), nil)
	return s.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		row, err := deadLetters.Load(tx, l.ID)
		if err != nil {
			return err
		}
		if row.Rev == 0 {
			return ErrNoDeadLetter
		}
		act.Emit(event, name, change.Data{Name: name})
		deadLetters.Remove(tx, l.ID)
		for _, p := range l.Parts {
			tx.Delete(directory.Parts.Key(p))
		}
		if !again {
			return nil
		}
		m.To = l.Generation
		entry, beside, err := directory.Encode(m, s.Now())
		if err != nil {
			return err
		}
		for _, p := range beside {
			if err := directory.Parts.Create(tx, p); err != nil {
				return err
			}
		}
		tx.Append(directory.Stream, entry)
		return nil
	})
}
