package operation

import (
	"context"
	"errors"
	"sync"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
)

// serverLocks lets one attempt at a time change what is on a server: the scripts of two task
// services, or of one for two batches, write the same files and hold the same package manager.
type serverLocks struct {
	mu sync.Mutex
	of map[string]*serverLock
}

type serverLock struct {
	free chan struct{} // holds one element while nobody has the lock
	used int           // who has it or waits for it; under serverLocks.mu
}

// lock waits for the lock of a server and returns what gives it back. When ctx ends first, it
// returns its error, and nothing was begun.
func (s *serverLocks) lock(ctx context.Context, server string) (unlock func(), err error) {
	s.mu.Lock()
	if s.of == nil {
		s.of = map[string]*serverLock{}
	}
	l := s.of[server]
	if l == nil {
		l = &serverLock{free: make(chan struct{}, 1)}
		l.free <- struct{}{}
		s.of[server] = l
	}
	l.used++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.used--; l.used == 0 {
			delete(s.of, server)
		}
	}
	select {
	case <-l.free:
		return func() { l.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// alone calls act while no other attempt changes what is on the server of a step.
func (x *Executor) alone(ctx context.Context, a *dag.Attempt, act func() (dag.Result, error)) (dag.Result, error) {
	unlock, err := x.locks.lock(ctx, a.Step.Target)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return dag.Result{}, provider.Errorf(dag.Transient, "another task worked on server %s until the time of this attempt was over",
			a.Step.Target)
	case err != nil:
		return dag.Result{Class: dag.Stopped, Error: "stopped before it began"}, nil
	}
	defer unlock()
	return act()
}
