package engine

import (
	"context"
	"fmt"
	"sync"

	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/store"
)

// eras numbers groups of operations in the order in which they end, so that those which ended after
// a checkpoint are counted by a counter a group (decision 44). An operation gets its era when its
// commit is made ready, and nobody waits for that commit: eras are looked at before a checkpoint
// reads the store and after it. What was made ready and is stored before the first look lies before
// the cut; what is made ready after the second lies behind it; for what is between, or was on its
// way, the revision of the effect decides. So that this is little, a checkpoint closes an era with
// more than a few operations.
type eras struct {
	size int // effects that close an era: the most that are looked at one by one

	mu        sync.Mutex
	now       uint64            // the open era; 0 before open
	given     int               // effects in it
	unsettled map[*cycle]uint64 // eras of cycles that are made ready and not settled
}

// fewOfEra is the part of an era's size, one in so many, from which on a checkpoint closes it.
// Without it, checkpoints that are taken after each operation would make an era of each.
const fewOfEra = 8

// open begins the first era of this process, behind all that are stored.
func (s *eras) open(ctx context.Context, db store.DB) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != 0 {
		return nil
	}
	last, err := run.LastEra(ctx, db)
	if err != nil {
		return fmt.Errorf("read the last era: %w", err)
	}
	s.now, s.unsettled = last+1, map[*cycle]uint64{}
	return nil
}

// enter gives a cycle in which operations with so many effects ended their era.
func (s *eras) enter(t *cycle, effects int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	era := s.now
	s.unsettled[t] = era
	if s.given += effects; s.given >= s.size {
		s.close()
	}
	return era
}

// leave is called when the store has answered a cycle, or when it was dropped.
func (s *eras) leave(t *cycle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.unsettled, t)
}

func (s *eras) close() { s.now, s.given = s.now+1, 0 }

// cut returns the first era that may have operations which are not stored yet, and the first that
// has none at all.
func (s *eras) boundary() (first, behind uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given > s.size/fewOfEra {
		s.close()
	}
	first, behind = s.now, s.now
	for _, era := range s.unsettled {
		first = min(first, era)
	}
	if s.given > 0 {
		behind++
	}
	return first, behind
}

// last returns the open era.
func (s *eras) last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}
