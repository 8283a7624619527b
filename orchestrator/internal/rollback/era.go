package rollback

import (
	"context"
	"fmt"
	"sync"

	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/store"
)

// Eras numbers groups of operations in the order in which they end, so that one counter a group
// tells how many ended after a checkpoint (decision 44). An operation gets its era when its commit
// is encoded, and nobody waits for that commit. So a checkpoint asks for the boundary twice: before
// it reads the number of the last commit, its cut, and after it. An operation of an era before the
// first boundary ended before the cut, one of an era from the second boundary on ended after the
// cut. Of an era in between the revisions of the effects decide, one by one. A checkpoint closes
// the open era when it has more than a few effects, so that few have to be looked at.
type Eras struct {
	size int // effects that close an era

	mu      sync.Mutex
	now     uint64         // the open era; 0 before Open
	effects int            // in the open era
	pending map[uint64]int // by era: commits that are encoded and that the store has not answered
}

// NewEras returns eras of a number of effects.
func NewEras(size int) *Eras { return &Eras{size: max(1, size), pending: map[uint64]int{}} }

// fewOfEra is the fraction 1/fewOfEra of an era's size up to which a checkpoint leaves the era
// open. Without it, a checkpoint after each operation would make an era of each.
const fewOfEra = 8

// Open begins the first era of this process, behind all that are stored. It does nothing when that
// was done before.
func (s *Eras) Open(ctx context.Context, db store.DB) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != 0 {
		return nil
	}
	last, err := run.LastEra(ctx, db)
	if err != nil {
		return fmt.Errorf("read the last era: %w", err)
	}
	s.now = last + 1
	return nil
}

// Assign returns the era of the operations that end with a commit, which have so many effects
// together.
func (s *Eras) Assign(effects int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	era := s.now
	s.pending[era]++
	if s.effects += effects; s.effects >= s.size {
		s.close()
	}
	return era
}

// Settle says that the store has answered a commit with that era, or that the commit was dropped.
func (s *Eras) Settle(era uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[era]--; s.pending[era] == 0 {
		delete(s.pending, era)
	}
}

func (s *Eras) close() { s.now, s.effects = s.now+1, 0 }

// boundary returns the first era that may have operations which are not stored yet, and the first
// that has no operations.
func (s *Eras) boundary() (first, behind uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.effects > s.size/fewOfEra {
		s.close()
	}
	first, behind = s.now, s.now
	for era := range s.pending {
		first = min(first, era)
	}
	if s.effects > 0 {
		behind++
	}
	return first, behind
}

// end returns the first era that no operation can have yet.
func (s *Eras) end() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now + 1
}
