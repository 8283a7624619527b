package subscription

import (
	"context"
	"math"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
)

// Depth is what waits in a queue.
type Depth struct {
	Waiting uint64    // messages that are not acknowledged, those in flight among them
	Oldest  time.Time // when the oldest of them was published; zero when nothing waits
	Number  uint64    // sequence number of the oldest
	Letters int       // dead letters
}

// Depth returns what waits in the queue of a subscription. It costs two looks into each list that
// the subscription wants, however much waits.
func (s *Subscriptions) Depth(ctx context.Context, name string) (d Depth, err error) {
	sub, err := s.find(ctx, name)
	if err != nil {
		return d, err
	}
	row, err := s.queueOf(ctx, &sub)
	if err != nil {
		return d, err
	}
	q := row.Value
	d.Waiting = q.PrefillEnd - q.PrefillNext
	from := q.Cursor
	for i, route := range sub.Routes {
		until := uint64(math.MaxInt64)
		if i+1 < len(sub.Routes) {
			until = sub.Routes[i+1].From
		}
		from = max(from, route.From)
		for _, list := range s.topics.digests(sub.Generation, route.Topics) {
			n, err := s.length(ctx, list, from, until)
			if err != nil {
				return d, err
			}
			d.Waiting += n
		}
		from = max(from, until)
	}
	d.Waiting -= uint64(len(q.Settled))
	if _, d.Letters, err = s.DeadLetters(ctx, name, 0, 0); err != nil || d.Waiting == 0 {
		return d, err
	}
	items, err := s.upcoming(ctx, &sub, &q, 1)
	if err != nil || len(items) == 0 {
		return d, err
	}
	d.Number = items[0].seq
	d.Oldest, err = s.published(ctx, sub.Generation, items[0])
	return d, err
}

// length returns how many messages of a list have numbers above from, up to until.
func (s *Subscriptions) length(ctx context.Context, list string, from, until uint64) (uint64, error) {
	l := s.topics.get(list)
	if l.Last <= from || from >= until {
		return 0, nil
	}
	first, _, err := routedMessages.List(ctx, s.DB, store.Query{
		Index: "topic", Prefix: list, Exact: true, After: store.Cursor{Value: list, ID: numberID(from)}, Limit: 1,
	})
	if err != nil || len(first) == 0 || first[0].Value.Number > until {
		return 0, err
	}
	last := l.Length
	if l.Last > until {
		rows, _, err := routedMessages.List(ctx, s.DB, store.Query{
			Index: "topic", Prefix: list, Exact: true, After: store.Cursor{Value: list, ID: numberID(until + 1)}, Reverse: true, Limit: 1,
		})
		if err != nil || len(rows) == 0 {
			return 0, err
		}
		last = rows[0].Value.Ordinal
	}
	return last - first[0].Value.Ordinal + 1, nil
}
