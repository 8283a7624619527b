package feed

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// Hub is a store that wakes the readers of a stream after each commit that appended to it.
// Everything in one process goes through one Hub.
type Hub struct {
	store.DB

	mu      sync.Mutex
	waiting map[string]chan struct{} // under mu: per stream, closed by the next commit that appends to it
	refuse  atomic.Pointer[fault.Error]
	meter   commitMeter
}

// NewHub returns a hub over db.
func NewHub(db store.DB) *Hub {
	return &Hub{DB: db, waiting: map[string]chan struct{}{}}
}

// Commit is the store's, followed by the wake-up. An unknown outcome wakes too: the readers look.
func (h *Hub) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	if f := h.refuse.Load(); f != nil {
		return store.Receipt{}, f
	}
	start := time.Now()
	r, err := h.DB.Commit(ctx, b)
	h.meter.committed(time.Since(start), err)
	if err == nil || fault.Is(err, fault.Unavailable) {
		h.wake(b.Appends)
	}
	return r, err
}

// Refuse makes every later commit fail with f, so that the store is read-only; nil lifts it.
func (h *Hub) Refuse(f *fault.Error) { h.refuse.Store(f) }

// Refused returns the fault that commits fail with, or nil.
func (h *Hub) Refused() *fault.Error { return h.refuse.Load() }

// Refusal returns the fault that a commit fails with now, of the hub or of an engine that knows it;
// nil when commits are taken.
func (h *Hub) Refusal() error {
	if f := h.Refused(); f != nil {
		return f
	}
	if engine, ok := h.DB.(interface{ Refused() error }); ok {
		return engine.Refused()
	}
	return nil
}

// Wait returns a channel that is closed after the next commit that appends to stream. Take it
// before reading, read, then wait: so nothing is missed.
func (h *Hub) Wait(stream string) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	ch, ok := h.waiting[stream]
	if !ok {
		ch = make(chan struct{})
		h.waiting[stream] = ch
	}
	return ch
}

// Poll answers a long poll: up to limit entries of stream above after, at once when there are some,
// else when one comes, and none when wait is over or ctx ends.
func (h *Hub) Poll(ctx context.Context, stream string, after uint64, limit int, wait time.Duration) (store.Entries, error) {
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for {
		wake := h.Wait(stream)
		page, err := h.Read(ctx, stream, after, limit)
		if err != nil || len(page.Entries) > 0 || page.Head < after {
			return page, err
		}
		select {
		case <-wake:
		case <-timeout.C:
			return page, nil
		case <-ctx.Done():
			return page, nil
		}
	}
}

func (h *Hub) wake(appends []store.Append) {
	if len(appends) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range appends {
		if ch, ok := h.waiting[a.Stream]; ok {
			close(ch)
			delete(h.waiting, a.Stream)
		}
	}
}
