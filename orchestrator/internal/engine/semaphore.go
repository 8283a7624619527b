package engine

import "sync"

// slots bounds the tasks that run at once over all runs. Who finds too few free is granted more later, in the
// order of asking.
type semaphore struct {
	mu      sync.Mutex
	free    int
	waiting []*runner
}

// take returns up to n slots. When it has fewer, the runner waits for more and is woken when it got some.
func (s *semaphore) take(r *runner, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := max(0, min(n, s.free))
	s.free -= got
	if r.wants = n - got; r.wants > 0 && !r.waiting {
		r.waiting = true
		s.waiting = append(s.waiting, r)
	}
	return got
}

// granted collects what the runner was given while it waited.
func (s *semaphore) granted(r *runner) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := r.grants
	r.grants = 0
	return n
}

// give returns n slots (fewer than 0 takes them by force, for tasks that already run).
func (s *semaphore) give(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += n
	for s.free > 0 && len(s.waiting) > 0 {
		r := s.waiting[0]
		s.waiting = s.waiting[1:]
		r.waiting = false
		if r.gone {
			continue
		}
		n := min(s.free, r.wants)
		s.free -= n
		r.grants += n
		r.nudge()
	}
}

// leave takes a runner that ends out of the queue and returns all it has.
func (s *semaphore) leave(r *runner, held int) {
	s.mu.Lock()
	r.gone = true
	held += r.grants
	r.grants = 0
	s.mu.Unlock()
	s.give(held)
}
