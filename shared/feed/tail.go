package feed

import (
	"context"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// Tail keeps the newest entries of a stream in memory, read and prepared once, for any number of
// readers that each keep their own place. A reader behind the ring is served from the store.
type Tail[T any] struct {
	db      *Hub
	stream  string
	prepare func([]T, []store.Entry) []T
	made    []T // of push, used again

	mu   sync.RWMutex
	ring []T           // under mu: entry of sequence s stands at s modulo its length
	low  uint64        // under mu: sequence of the oldest entry in the ring
	head uint64        // under mu: sequence of the newest, 0 before the first read
	more chan struct{} // under mu: closed when head rises
}

// gather is the least time between two looks that find something: each wakes all readers, and small
// commits come in thousands a second. What comes after a pause of that length is found at once.
const gather = time.Millisecond

// NewTail returns a tail of the newest size entries of stream. prepare appends what readers get for
// some entries to into; it is called once for each of the newest and again for each entry a slow
// reader fetches from the store.
func NewTail[T any](db *Hub, stream string, size int, prepare func(into []T, entries []store.Entry) []T) *Tail[T] {
	return &Tail[T]{db: db, stream: stream, prepare: prepare, ring: make([]T, size), more: make(chan struct{})}
}

// Run fills the ring until ctx ends and then returns nil. While the store is away it tries again.
func (t *Tail[T]) Run(ctx context.Context) error {
	first := true
	var found time.Time
	for ctx.Err() == nil {
		wake := t.db.Wait(t.stream)
		if first {
			page, err := t.db.Read(ctx, t.stream, store.Latest, 0)
			if err != nil {
				clock.Pause(ctx, pollEvery, nil)
				continue
			}
			t.start(page.Head)
			first = false
		}
		page, err := t.db.Read(ctx, t.stream, t.Head(), min(len(t.ring), store.MaxPage))
		if err == nil && len(page.Entries) > 0 {
			t.push(page.Entries)
			found = time.Now()
			if t.Head() < page.Head {
				continue
			}
		}
		clock.Pause(ctx, pollEvery, wake)
		if early := gather - time.Since(found); early > 0 {
			clock.Pause(ctx, early, nil)
		}
	}
	return nil
}

// start sets the head without reading what is below it.
func (t *Tail[T]) start(head uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.head, t.low = head, head+1
	close(t.more)
	t.more = make(chan struct{})
}

func (t *Tail[T]) push(entries []store.Entry) {
	made := t.prepare(t.made[:0], entries)
	t.mu.Lock()
	defer t.mu.Unlock()
	n := uint64(len(t.ring))
	for i, e := range entries {
		t.ring[e.Seq%n] = made[i]
		t.head = e.Seq
	}
	if t.head >= n && t.low < t.head-n+1 {
		t.low = t.head - n + 1
	}
	close(t.more)
	t.more = make(chan struct{})
	clear(made)
	t.made = made
}

// Head returns the sequence of the newest entry the tail knows.
func (t *Tail[T]) Head() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.head
}

// More returns a channel that is closed when there is something above head as it is now, together
// with that head. Take it before reading.
func (t *Tail[T]) More() (head uint64, more <-chan struct{}) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.head, t.more
}

// ErrTrimmed is the fault of a reader whose next entry is not kept any more.
var ErrTrimmed = fault.New(fault.Gone, "feed.trimmed", "what comes next is not kept any more; read the state anew")

// Read appends up to limit entries above after to into and returns it, with the sequence of the
// last one (after itself when there is none). It reads the store only when after is below the
// ring. The fault is ErrTrimmed when the entry behind after was trimmed.
func (t *Tail[T]) Read(ctx context.Context, into []T, after uint64, limit int) ([]T, uint64, error) {
	t.mu.RLock()
	if after+1 >= t.low || after >= t.head {
		n := uint64(len(t.ring))
		for ; after < t.head && limit > 0; limit-- {
			after++
			into = append(into, t.ring[after%n])
		}
		t.mu.RUnlock()
		return into, after, nil
	}
	t.mu.RUnlock()
	page, err := t.db.Read(ctx, t.stream, after, min(limit, store.MaxPage))
	if err == nil && page.First > after+1 {
		err = ErrTrimmed
	}
	if err != nil {
		return into, after, err
	}
	if n := len(page.Entries); n > 0 {
		into, after = t.prepare(into, page.Entries), page.Entries[n-1].Seq
	}
	return into, after, nil
}
