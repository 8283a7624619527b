package body

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/provisioning-platform/platform/shared/fault"
)

// SmallBody is the most bytes of a body that a server reads before the body has room, so that
// nobody waits for a slow client.
const SmallBody = 64 << 10

// How many bytes of request bodies are at work at once, as they are on the wire (decision 57).
// Decoded, a body is at most about ten times as large, because nothing is built of a body whose
// lists are above their limits.
const (
	leastBody     = 1 << 10 // the room that the smallest takes
	smallRoom     = 4 << 20
	largeRoom     = 16 << 20
	strangerRoom  = 4 << 20         // for large bodies of who is not signed in: nobody needs one
	admissionWait = 2 * time.Second // for room; then the server refuses the request
)

// Admission gives room to bodies. A caller has one large body at work at a time, so that no caller
// has all the room.
type Admission struct {
	small, large, strangers *semaphore.Weighted

	mu    sync.Mutex
	turns map[string]*waiter // guarded by mu; of the callers with a large body
}

// waiter is a caller's right to have a large body at work.
type waiter struct {
	taken *semaphore.Weighted
	users int // guarded by the mu of Admission: who has the turn or waits for it
}

// NewAdmission returns one whose whole room is free.
func NewAdmission() *Admission {
	return &Admission{small: semaphore.NewWeighted(smallRoom), large: semaphore.NewWeighted(largeRoom),
		strangers: semaphore.NewWeighted(strangerRoom), turns: map[string]*waiter{}}
}

// Enter waits at most 2 s for room for a body of so many bytes, and returns what gives the room
// back. The caller is empty for strangers. Without room it returns Unavailable.
func (g *Admission) Enter(ctx context.Context, caller string, size int64) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, admissionWait)
	defer cancel()
	room, size := g.large, min(size, largeRoom)
	switch {
	case size <= SmallBody:
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
var errBusy = fault.New(fault.Unavailable, "http.busy", "large requests are being worked on already; try again in 2 s").After(admissionWait)

// queue returns the caller's turn.
func (g *Admission) queue(caller string) *waiter {
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
func (g *Admission) leave(caller string, t *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(g.turns, caller)
	}
}
