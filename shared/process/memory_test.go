package process

import (
	"math"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

// Not parallel: the collector belongs to the whole process.
func TestTendMemory_boundsTheHeapUnlessTheOperatorDoes(t *testing.T) {
	for live, want := range map[uint64]int64{0: memoryFloor, 64 << 20: memoryFloor, 400 << 20: 700 << 20} {
		if got := memoryLimit(live); got != want {
			t.Errorf("limit of %d with %d alive, want %d", got, live, want)
		}
	}
	limit := func() int64 { return debug.SetMemoryLimit(-1) } // a negative limit only reads
	before := limit()
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	synctest.Test(t, func(t *testing.T) {
		stop := tendMemory()
		<-time.After(3 * memoryEvery)
		if got := limit(); got < memoryFloor || got == math.MaxInt64 {
			t.Errorf("limit %d", got)
		}
		stop()
	})
	if got := limit(); got != before {
		t.Errorf("limit %d is left behind, it was %d", got, before)
	}
	t.Setenv("GOGC", "100")
	stop := tendMemory()
	defer stop()
	if got := limit(); got != before {
		t.Errorf("limit %d against the operator's settings", got)
	}
}
