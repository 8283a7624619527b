package subscription

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// Status is how far the prefill of a subscription is (contract 1.4).
type Status string

// The states of a prefill. One that was not requested is Done.
const (
	Pending Status = "pending"
	Running Status = "running"
	Failed  Status = "failed"
	Done    Status = "done"
)

// Queue is how far a subscription has come. Its messages are those of the prefill lane, in the
// order of their index from PrefillNext, and then those behind number Cursor that the subscription
// wants. The oldest of them has number Sequence+1, the next ones follow. Fields stand in the order
// of their JSON names.
type Queue struct {
	// Counts holds the deliveries of messages in flight that were delivered more than once, by
	// sequence number. A first delivery is not worth a commit, unless Strict or MaxDeliveries
	// have to know of it after a restart.
	Counts     map[uint64]int `json:"counts,omitempty"`
	Cursor     uint64         `json:"cursor"`
	Generation string         `json:"generation"`
	Name       string         `json:"name"`
	// Outside says that whoever has the role prefill fills the lane or not: SetStatus was called,
	// and no job of this service works on it until RestartPrefill.
	Outside     bool      `json:"outside,omitempty"`
	Prefill     Progress  `json:"prefill"`
	PrefillEnd  uint64    `json:"prefill_end"` // one above the last index of the prefill lane
	PrefillNext uint64    `json:"prefill_next"`
	Sequence    uint64    `json:"sequence"`          // sequence number of the last message of those that are settled without a gap
	Settled     []uint64  `json:"settled,omitempty"` // sequence numbers above it that are settled, ascending
	Status      Status    `json:"status"`
	Updated     time.Time `json:"updated"`
}

// Progress is how far the reading of a prefill is: behind so many objects of those at the place
// After of the topic with that index.
type Progress struct {
	After string `json:"after"`
	Skip  int    `json:"skip,omitempty"`
	Topic int    `json:"topic"`
}

var queues = store.Table[Queue]{
	Kind: "queue",
	ID:   func(q Queue) string { return q.Name },
	Index: func(q Queue) []store.IndexKey {
		return []store.IndexKey{{Name: "cursor", Value: numberID(q.Cursor)}, {Name: "status", Value: string(q.Status)}}
	},
}

// item is one message of a queue, as far as its place says.
type item struct {
	seq     uint64 // sequence number
	prefill bool
	at      uint64 // index in the prefill lane, or number of the message
	object  string // digest of what it is about; empty when it does not say
}

// upcoming returns the first n messages of a queue, the settled ones among them. Messages behind
// the prefill lane are not among them while it has any: a change of an object comes after the
// object.
func (s *Subscriptions) upcoming(ctx context.Context, sub *Subscription, q *Queue, n int) (items []item, err error) {
	seq := q.Sequence
	for i := q.PrefillNext; i < q.PrefillEnd && len(items) < n; i++ {
		seq++
		items = append(items, item{seq: seq, prefill: true, at: i})
	}
	if len(items) > 0 {
		return items, nil
	}
	from := q.Cursor
	for i, route := range sub.Routes {
		until := s.routed.Load()
		if i+1 < len(sub.Routes) {
			until = min(until, sub.Routes[i+1].From)
		}
		if from = max(from, route.From); from >= until {
			continue
		}
		rows, err := s.behind(ctx, s.topics.digests(sub.Generation, route.Topics), from, until, n-len(items))
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			seq++
			items = append(items, item{seq: seq, at: r.Number, object: r.Object})
		}
		from = until
	}
	return items, nil
}

// behind returns the first n messages of some lists with numbers above from, up to until, in their
// order.
func (s *Subscriptions) behind(ctx context.Context, lists []string, from, until uint64, n int) (rows []routed, err error) {
	if n <= 0 {
		return nil, nil
	}
	for _, digest := range lists {
		if s.topics.get(digest).Last <= from {
			continue // nothing was published there since: no question to the store
		}
		page, _, err := routedMessages.List(ctx, s.DB, store.Query{
			Index: "topic", Prefix: digest, Exact: true, After: store.Cursor{Value: digest, ID: numberID(from)}, Limit: n,
		})
		if err != nil {
			return nil, err
		}
		for _, row := range page {
			if row.Value.Number <= until {
				rows = append(rows, row.Value)
			}
		}
	}
	slices.SortFunc(rows, func(a, b routed) int { return cmp.Compare(a.Number, b.Number) })
	return rows[:min(n, len(rows))], nil
}

// settle takes the message at out of the queue, whose first messages are items: items begins with
// the one behind q.Sequence and reaches at least to at. It returns what leaves the prefill lane.
func (q *Queue) settle(items []item, at uint64) (gone []item) {
	delete(q.Counts, at)
	i, _ := slices.BinarySearch(q.Settled, at)
	q.Settled = slices.Insert(q.Settled, i, at)
	for _, it := range items {
		if len(q.Settled) == 0 || q.Settled[0] != it.seq {
			break
		}
		q.Settled = q.Settled[1:]
		q.Sequence = it.seq
		if it.prefill {
			q.PrefillNext = it.at + 1
			gone = append(gone, it)
		} else {
			q.Cursor = it.at
		}
	}
	return gone
}

// reach returns how many of the first messages settle has to be given for number seq, at most
// MaxWindow: those that are settled ahead of it may leave with it.
func (q *Queue) reach(seq uint64) int {
	if n := len(q.Settled); n > 0 {
		seq = max(seq, q.Settled[n-1])
	}
	return int(min(max(seq, q.Sequence)-q.Sequence, MaxWindow))
}

// settled says whether a message that was in the queue is not any more.
func (q *Queue) settled(seq uint64) bool {
	_, found := slices.BinarySearch(q.Settled, seq)
	return seq <= q.Sequence || found
}

// ErrNoMessage is the answer to a number that names no message in flight.
var ErrNoMessage = fault.New(fault.NotFound, "message.not_found",
	"this subscription has no message with this number in flight: it was acknowledged already, or was not delivered yet")
