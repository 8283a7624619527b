package web

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web/ratelimit"
)

// How many bytes of request bodies are at work at once, as they are on the wire (decision 57).
// Decoded, a body is at most about ten times as large, because lists are limited while they are
// read.
const (
	smallBody    = 64 << 10 // up to here a body is read before it needs room, so that nobody waits for a slow client
	leastBody    = 1 << 10  // the room that the smallest takes
	smallRoom    = 4 << 20
	largeRoom    = 16 << 20
	strangerRoom = 4 << 20         // for large bodies of who is not signed in: nobody needs one
	bodyWait     = 2 * time.Second // for room; then the request is refused
)

// gate gives room to bodies. A caller has one large body at work at a time, so that no caller has
// all the room.
type admission struct {
	small, large, strangers *semaphore.Weighted

	mu    sync.Mutex
	turns map[string]*waiter // guarded by mu; of the callers with a large body
}

// turn is a caller's right to have a large body at work.
type waiter struct {
	taken *semaphore.Weighted
	users int // guarded by the gate's mu: who has the turn or waits for it
}

func newAdmission() *admission {
	return &admission{small: semaphore.NewWeighted(smallRoom), large: semaphore.NewWeighted(largeRoom), strangers: semaphore.NewWeighted(strangerRoom), turns: map[string]*waiter{}}
}

// enter waits for room for a body of so many bytes, and returns what gives it back. The caller is
// empty for strangers.
func (g *admission) enter(ctx context.Context, caller string, size int64) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, bodyWait)
	defer cancel()
	room, size := g.large, min(size, largeRoom)
	switch {
	case size <= smallBody:
		room, size = g.small, max(size, leastBody)
	case caller == "":
		room, size = g.strangers, min(size, strangerRoom)
	default:
		t := g.queue(caller)
		defer func() {
			if err != nil {
				g.leave(caller, t)
			}
		}()
		if t.taken.Acquire(ctx, 1) != nil {
			return nil, errBusy
		}
		if g.large.Acquire(ctx, size) != nil {
			t.taken.Release(1)
			return nil, errBusy
		}
		return func() { room.Release(size); t.taken.Release(1); g.leave(caller, t) }, nil
	}
	if room.Acquire(ctx, size) != nil {
		return nil, errBusy
	}
	return func() { room.Release(size) }, nil
}

// errBusy refuses a body that found no room.
var errBusy = fault.New(fault.Unavailable, "http.busy", "large requests are being worked on already; try again in %s s", ratelimit.Seconds(bodyWait)).After(bodyWait)

// queue returns the caller's turn.
func (g *admission) queue(caller string) *waiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.turns[caller]
	if t == nil {
		t = &waiter{taken: semaphore.NewWeighted(1)}
		g.turns[caller] = t
	}
	t.users++
	return t
}

// leave forgets a turn that nobody uses any more.
func (g *admission) leave(caller string, t *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(g.turns, caller)
	}
}
