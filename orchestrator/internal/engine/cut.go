package engine

import "sync"

// cut keeps commits that change effects or inventory apart from checkpoints, which must see both stand still from
// their look to their commit. Any number of one side is inside at once, so that they share syncs, and never one of
// each. The sides take turns, so none waits for ever.
type cut struct {
	mu      sync.Mutex
	free    sync.Cond // L is mu
	inside  [2]int    // under mu
	waiting [2]int    // under mu
	turn    side      // under mu: who goes first when both wait
}

type side int

const (
	changing side = iota
	looking
)

func newCut() *cut {
	c := &cut{}
	c.free.L = &c.mu
	return c
}

// enter waits until nobody of the other side is inside. It is followed by leave.
func (c *cut) enter(s side) {
	other := 1 - s
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[s]++
	for c.inside[other] > 0 || c.waiting[other] > 0 && c.turn == other {
		if c.inside[other] > 0 {
			c.turn = s // those of the other side that come now wait
		}
		c.free.Wait()
	}
	c.waiting[s]--
	c.inside[s]++
	if c.waiting[s] == 0 && c.waiting[other] > 0 { // all of this side that waited are in
		c.turn = other
	}
}

func (c *cut) leave(s side) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inside[s]--; c.inside[s] == 0 {
		c.free.Broadcast()
	}
}
