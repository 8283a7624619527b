package subscription

import (
	"sync"
	"time"
)

// delivery is a message in flight: delivered, and neither acknowledged nor given back.
type delivery struct {
	until time.Time // when it may be delivered again
	count int       // deliveries so far
}

// flight is what is in flight of one queue. Its mutex is held while a message of the queue is
// chosen and while one is settled, so that no message is chosen that is being settled.
type flight struct {
	sync.Mutex
	of   map[uint64]*delivery // by sequence number
	used int                  // who holds or wants the mutex; under flights.mu
}

// flights are the queues from which something is in flight, by their generations. A queue that
// rests takes no memory.
type flights struct {
	mu sync.Mutex
	of map[string]*flight
}

// lock returns the flight of a queue, locked.
func (f *flights) lock(generation string) *flight {
	f.mu.Lock()
	if f.of == nil {
		f.of = map[string]*flight{}
	}
	one := f.of[generation]
	if one == nil {
		one = &flight{of: map[uint64]*delivery{}}
		f.of[generation] = one
	}
	one.used++
	f.mu.Unlock()
	one.Lock()
	return one
}

// forget drops what is in flight of a queue that is gone.
func (f *flights) forget(generation string) {
	one := f.lock(generation)
	clear(one.of)
	f.unlock(generation, one)
}

// unlock ends what lock began.
func (f *flights) unlock(generation string, one *flight) {
	empty := len(one.of) == 0
	one.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if one.used--; one.used == 0 && empty {
		delete(f.of, generation)
	}
}
