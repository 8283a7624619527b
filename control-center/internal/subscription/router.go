package subscription

import (
	"context"
	"fmt"
	"maps"

	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// routeBatch is how many messages the router gives their rows in one commit.
const routeBatch = 500

// routerName names the cursor of the router.
const routerName = "subscriptions"

// numberID returns the id of the row of message n: ids ascend with the numbers.
func numberID(n uint64) string { return fmt.Sprintf("%016x", n) }

// Router returns the follower that gives each published message its row in the list of its topic.
// It is run once a process.
func (s *Subscriptions) Router() *feed.Follower {
	return &feed.Follower{Name: routerName, Stream: directory.Stream, DB: s.DB, Batch: routeBatch, Handle: s.route, Log: s.Log}
}

// Load reads the topics and the number of the newest message that has a row. It is called before
// anything else.
func (s *Subscriptions) Load(ctx context.Context) error {
	known := map[string]topicList{}
	for row, err := range topicLists.All(ctx, s.DB, store.Query{}) {
		if err != nil {
			return err
		}
		known[row.Value.Digest] = row.Value
	}
	s.topics.put(known)
	var last uint64
	for _, l := range known {
		last = max(last, l.Last)
	}
	s.routed.Store(max(last, s.routed.Load()))
	return nil
}

// route commits the rows of entries. A commit whose outcome was unknown is looked up before the
// entries come again, so no message has two rows or two ordinals.
func (s *Subscriptions) route(ctx context.Context, entries []store.Entry) error {
	last, err := s.lastRouted(ctx)
	if err != nil {
		return err
	}
	lists := map[string]topicList{}
	var batch store.Batch
	add := func(w store.Write, err error) error {
		batch.Writes = append(batch.Writes, w)
		return err
	}
	for _, e := range entries {
		if e.Seq <= last {
			continue
		}
		h, _, err := directory.DecodeHeader(e.Body)
		if err != nil {
			return err
		}
		realm, topic := topicOf(h)
		digest := digestOf(realm, topic)
		l, ok := lists[digest]
		if !ok {
			l = s.topics.get(digest)
		}
		l = topicList{Digest: digest, Last: e.Seq, Length: l.Length + 1, Realm: realm, Topic: topic}
		lists[digest] = l
		r := routed{Number: e.Seq, Ordinal: l.Length, Topic: digest}
		if h.Object != "" {
			r.Object = id.Digest(h.Object)
		}
		if err := add(routedMessages.Write(r, store.Absent())); err != nil {
			return err
		}
	}
	if len(lists) == 0 {
		return nil
	}
	for _, l := range lists {
		if err := add(topicLists.Write(l, store.Any())); err != nil {
			return err
		}
	}
	if _, err := s.DB.Commit(ctx, batch); err != nil {
		s.doubt = true // what is stored is looked up before the entries come again
		return err
	}
	fresh := s.topics.put(lists)
	s.routed.Store(entries[len(entries)-1].Seq) // behind put: who reads this number finds all lists up to it
	if fresh {
		s.waiters.wakeAll()
	}
	for digest := range maps.Keys(lists) {
		s.waiters.wake(digest)
	}
	return nil
}

// lastRouted returns the number of the newest message that has a row. After a commit of unknown
// outcome it asks the store.
func (s *Subscriptions) lastRouted(ctx context.Context) (uint64, error) {
	if s.doubt {
		if err := s.Load(ctx); err != nil {
			return 0, err
		}
		s.doubt = false
		s.waiters.wakeAll() // rows that were there after all are in no later commit
	}
	return s.routed.Load(), nil
}
