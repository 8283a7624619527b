package engine

import (
	"sync"
)

// semaphore bounds the tasks that run at once over all runs: each takes a slot. A runner that finds
// too few is granted more later, in the order of asking.
type semaphore struct {
	mu      sync.Mutex
	free    int
	waiting []*runner
	queue   *queue // the runs of waiting
}

// unused returns how many slots are free; fewer than 0 when more tasks run than there are slots.
func (s *semaphore) unused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free
}

// slots is what a runner has to do with the semaphore; under semaphore.mu.
type slots struct {
	waiting bool // the runner is in semaphore.waiting
	removed bool // the runner has ended
	missing int  // slots that it waits for
	granted int  // slots that it was given meanwhile
}

// acquire returns up to n slots. When there are fewer, the runner waits for more and is woken when
// it got some.
func (s *semaphore) acquire(r *runner, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := max(0, min(n, s.free))
	s.free -= got
	if r.slots.missing = n - got; r.slots.missing > 0 && !r.slots.waiting {
		r.slots.waiting = true
		s.queue.join(r.id)
		s.waiting = append(s.waiting, r)
	}
	return got
}

// granted returns the slots that the runner was given while it waited, once.
func (s *semaphore) granted(r *runner) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := r.slots.granted
	r.slots.granted = 0
	return n
}

// release gives n slots back. Fewer than 0 are taken by force, for tasks that run already.
func (s *semaphore) release(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += n
	for s.free > 0 && len(s.waiting) > 0 {
		r := s.waiting[0]
		s.waiting = s.waiting[1:]
		r.slots.waiting = false
		s.queue.leave(r.id)
		if r.slots.removed {
			continue
		}
		n := min(s.free, r.slots.missing)
		s.free -= n
		r.slots.granted += n
		r.nudge()
	}
}

// remove takes a runner that has ended out of the queue and releases the n slots that it has.
func (s *semaphore) remove(r *runner, n int) {
	s.mu.Lock()
	r.slots.removed = true
	s.queue.leave(r.id)
	n += r.slots.granted
	r.slots.granted = 0
	s.mu.Unlock()
	s.release(n)
}
