package process

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How the collector is set, measured with an orchestrator under load: as long as little lives it
// hardly runs, then it keeps the heap below the floor, which makes a resident set of 170 MiB, and
// of 190 while the mem tables of the store are full (10 MiB less cost a request that reads a tenth
// more); and when more lives than fits well, the limit makes way, for a collector that fights a
// limit takes half of the processors.
const (
	heapGrowth  = 400 // percent, below the limit
	memoryFloor = 135 << 20
	memoryEvery = time.Second
)

// tendMemory sets the collector until the returned function is called. An operator who sets GOGC or
// GOMEMLIMIT knows better.
func tendMemory() (stop func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	growth, limit := debug.SetGCPercent(heapGrowth), debug.SetMemoryLimit(memoryFloor)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				metrics.Read(live)
				debug.SetMemoryLimit(memoryLimit(live[0].Value.Uint64()))
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
		debug.SetGCPercent(growth)
		debug.SetMemoryLimit(limit)
	}
}

// memoryLimit is the limit when so many bytes live: room for three quarters more, if that is above
// the floor.
func memoryLimit(live uint64) int64 {
	return max(memoryFloor, int64(live+live/4*3))
}
