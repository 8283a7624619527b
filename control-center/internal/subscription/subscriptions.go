package subscription

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Subscriptions creates, deletes and serves subscriptions. It is built as a literal; one process
// has one.
type Subscriptions struct {
	DB      *feed.Hub
	Changes *change.Committer
	Hasher  *user.Hasher
	Now     func() time.Time
	Log     *slog.Logger

	MaxMessages int // kept messages above which Publish refuses; 0 is no limit

	topics  topicSet
	routed  atomic.Uint64 // number of the newest message that has a row
	doubt   bool          // whether a commit of rows had an unknown outcome; of the router alone
	waiters waiters
	flights flights
	checked passwordCache
	metrics metrics
}

// Kinds are the document kinds of this package, for the schema of the service.
func Kinds() []store.Kind {
	return []store.Kind{
		{Name: subscriptions.Kind}, {Name: queues.Kind, Indexes: []string{"cursor", "status"}, Counted: []string{"status"}},
		{Name: routedMessages.Kind, Indexes: []string{"topic"}}, {Name: topicLists.Kind}, {Name: directory.Parts.Kind},
		{Name: prefillItems.Kind}, {Name: leftovers.Kind},
		{Name: deadLetters.Kind, Indexes: []string{"queue"}, Counted: []string{"queue"}},
	}
}

// Create stores a new subscription and its queue, which gets every message that is published from
// now on. created is false when the same one exists already.
func (s *Subscriptions) Create(ctx context.Context, d Draft) (created bool, err error) {
	if err := d.Check(); err != nil {
		return false, err
	}
	if same, err := s.exists(ctx, d); same || err != nil {
		return false, err
	}
	hash, err := s.Hasher.Hash(ctx, d.Password)
	if err != nil {
		return false, err
	}
	now := s.Now().UTC().Truncate(time.Millisecond)
	sub := Subscription{Created: now, Generation: id.New(), Name: d.Name, Options: d.Options, Filter: d.Filter, Redact: d.Redact,
		PasswordHash:   hash,
		RequestPrefill: d.RequestPrefill}
	q := Queue{Generation: sub.Generation, Name: d.Name, Status: Done, Updated: now}
	if d.RequestPrefill {
		q.Status = Pending
	}
	act := change.New("subscription.create", "subscriptions/"+d.Name,
		map[string]any{"topics": topicTexts(d.Topics), "prefill": d.RequestPrefill})
	err = s.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		row, err := subscriptions.Load(tx, d.Name)
		if err != nil {
			return err
		}
		if row.Rev != 0 {
			return ErrDiffers
		}
		head, err := s.head(ctx)
		if err != nil {
			return err
		}
		q.Cursor, sub.Routes = head, []Route{{From: head, Topics: d.Topics}}
		act.Emit(change.SubscriptionCreated, d.Name, change.Data{Name: d.Name})
		if err := subscriptions.Create(tx, sub); err != nil {
			return err
		}
		return queues.Create(tx, q)
	})
	if fault := err; fault != nil {
		if same, err := s.exists(ctx, d); same || err != nil { // somebody else was faster with the same one
			return false, err
		}
		return false, fault
	}
	s.waiters.wake(prefillKey)
	return true, nil
}

// exists says whether the subscription that d describes is there; ErrDiffers when its name is taken
// by another one.
func (s *Subscriptions) exists(ctx context.Context, d Draft) (bool, error) {
	row, err := subscriptions.Get(ctx, s.DB, d.Name)
	if err != nil || row.Rev == 0 {
		return false, err
	}
	have := row.Value
	if have.RequestPrefill != d.RequestPrefill || have.Options != d.Options || !slices.Equal(have.Filter, d.Filter) ||
		!slices.Equal(have.Redact, d.Redact) || !sameTopics(have.Topics(), d.Topics) {
		return false, ErrDiffers
	}
	ok, _, err := s.Hasher.Verify(ctx, d.Password, have.PasswordHash)
	if err == nil && !ok {
		err = ErrDiffers
	}
	return ok, err
}

// head returns the number of the newest message that was published.
func (s *Subscriptions) head(ctx context.Context) (uint64, error) {
	page, err := s.DB.Read(ctx, directory.Stream, store.Latest, 0)
	return page.Head, err
}

// find returns the subscription of that name, or ErrUnknown.
func (s *Subscriptions) find(ctx context.Context, name string) (Subscription, error) {
	if !nameRule.MatchString(name) {
		return Subscription{}, ErrUnknown
	}
	row, err := subscriptions.Get(ctx, s.DB, name)
	if err == nil && row.Rev == 0 {
		err = ErrUnknown
	}
	return row.Value, err
}

// queueOf returns the queue of sub; ErrUnknown when it is gone, or belongs to a later one of that
// name.
func (s *Subscriptions) queueOf(ctx context.Context, sub *Subscription) (store.Row[Queue], error) {
	row, err := queues.Get(ctx, s.DB, sub.Name)
	if err == nil && (row.Rev == 0 || row.Value.Generation != sub.Generation) {
		err = ErrUnknown
	}
	return row, err
}

// View is a subscription with the state of its queue.
type View struct {
	Subscription
	Status Status
	Queue  Queue
}

// Get returns the subscription of that name, or ErrUnknown.
func (s *Subscriptions) Get(ctx context.Context, name string) (View, error) {
	sub, err := s.find(ctx, name)
	if err != nil {
		return View{}, err
	}
	row, err := s.queueOf(ctx, &sub)
	return View{Subscription: sub, Status: row.Value.Status, Queue: row.Value}, err
}

// List returns all subscriptions by name. One that is deleted meanwhile may be left out.
func (s *Subscriptions) List(ctx context.Context) (views []View, err error) {
	state := map[string]Queue{}
	for row, err := range queues.All(ctx, s.DB, store.Query{}) {
		if err != nil {
			return nil, err
		}
		state[row.Value.Generation] = row.Value
	}
	for row, err := range subscriptions.All(ctx, s.DB, store.Query{}) {
		if err != nil {
			return nil, err
		}
		if q, ok := state[row.Value.Generation]; ok {
			views = append(views, View{Subscription: row.Value, Status: q.Status, Queue: q})
		}
	}
	return views, nil
}

// Delete removes a subscription with its queue, and ends the polls that wait for it. What is left
// of its prefill and its dead letters is removed by Run.
func (s *Subscriptions) Delete(ctx context.Context, name string) error {
	act := change.New("subscription.delete", "subscriptions/"+name, nil)
	var generation string
	err := s.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		row, err := subscriptions.Load(tx, name)
		if err != nil {
			return err
		}
		if row.Rev == 0 {
			return ErrUnknown
		}
		q, err := queues.Load(tx, name)
		if err != nil {
			return err
		}
		generation = row.Value.Generation
		if err := leftovers.Save(tx, leftover{Generation: generation, Next: q.Value.PrefillNext, End: q.Value.PrefillEnd,
			Gone: true}); err != nil {
			return err
		}
		subscriptions.Remove(tx, name)
		queues.Remove(tx, name)
		act.Emit(change.SubscriptionDeleted, name, change.Data{Name: name})
		return nil
	})
	if generation != "" { // also after an error: it may have been committed, and whoever waits looks
		s.flights.forget(generation)
		s.waiters.wake(generation)
	}
	return err
}

// ErrFull refuses a publish while too many messages are kept because subscriptions have not fetched
// them.
var ErrFull = fault.New(fault.Unavailable, "message.full",
	"too many messages wait for subscriptions that do not fetch them; publish again later, "+
		"and let an administrator look which subscription is behind").After(time.Minute)

// room returns ErrFull when no more messages are kept.
func (s *Subscriptions) room(ctx context.Context) error {
	if s.MaxMessages == 0 {
		return nil
	}
	page, err := s.DB.Read(ctx, directory.Stream, store.Latest, 0)
	if err == nil && int(page.Head+1-page.First) >= s.MaxMessages {
		err = ErrFull
	}
	return err
}

// Publish stores messages in one commit. When it returns, each will be delivered to every
// subscription that wants it and exists by now.
func (s *Subscriptions) Publish(ctx context.Context, messages []directory.Message) error {
	if err := s.room(ctx); err != nil {
		return err
	}
	var batch store.Batch
	for _, m := range messages {
		entry, beside, err := directory.Encode(m, s.Now())
		if err != nil {
			return err
		}
		batch.Appends = append(batch.Appends, store.Append{Stream: directory.Stream, Body: entry})
		for _, p := range beside {
			w, err := directory.Parts.Write(p, store.Absent())
			if err != nil {
				return err
			}
			batch.Writes = append(batch.Writes, w)
		}
	}
	_, err := s.DB.Commit(ctx, batch)
	if err == nil {
		s.metrics.published.Add(float64(len(messages)))
	}
	return err
}

// topicTexts returns topics as the audit log shows them.
func topicTexts(topics []Topic) []string {
	texts := make([]string, len(topics))
	for i, t := range topics {
		texts[i] = t.Realm + "/" + t.Topic
	}
	return texts
}
