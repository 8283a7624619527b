package engine

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestCut_oneSideAtATimeAndNobodyStarves(t *testing.T) {
	t.Parallel()
	c := newCut()
	var inside [2]atomic.Int64
	var together atomic.Bool // two of one side were inside at once
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for range 2000 {
				s := side(i % 2)
				c.enter(s)
				if inside[s].Add(1) > 1 {
					together.Store(true)
				}
				for range rand.IntN(3) {
					runtime.Gosched()
				}
				if inside[1-s].Load() > 0 {
					t.Error("both sides are inside")
				}
				inside[s].Add(-1)
				c.leave(s)
			}
		})
	}
	all.Wait()
	if !together.Load() {
		t.Error("no two of one side were inside at once")
	}
}

// TestCut_newcomersDoNotOvertakeWhoWaited lets a commit in while a checkpoint waits: a commit that comes then waits its
// turn, else commits that overlap would hold back the checkpoint for ever.
func TestCut_newcomersDoNotOvertakeWhoWaited(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			c := newCut()
			var order []string // one goroutine goes on at a time
			end := make(chan struct{})
			come := func(name string, s side) {
				go func() {
					c.enter(s)
					order = append(order, name)
					<-end
					c.leave(s)
				}()
				synctest.Wait()
			}
			c.enter(looking)
			come("commit", changing)
			come("checkpoint", looking)
			c.leave(looking)
			synctest.Wait()
			come("late commit", changing)
			if len(order) != 1 || order[0] != "commit" {
				t.Errorf("inside: %v", order)
			}
			close(end)
			synctest.Wait()
			if len(order) != 3 || order[1] != "checkpoint" {
				t.Errorf("order: %v", order)
			}
		})
	}
}
