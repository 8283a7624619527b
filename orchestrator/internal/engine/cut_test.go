package engine

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
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
