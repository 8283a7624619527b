package engine

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/provisioning-platform/platform/shared/store"
)

// eras numbers groups of operations in the order in which they end, so that those which ended after a checkpoint are
// counted by a counter a group (decision 44). An operation gets its era when its commit is made ready, and nobody waits
// for that commit: around a checkpoint the era is closed twice, before its read of the store and after it. What was made
// ready before the first and is stored tells the cut from both sides; what is made ready after the second is stored after
// the cut; between the two, and for commits that were on their way, the revision of the effect decides.
type eras struct {
	mu     sync.Mutex
	now    uint64           // the open era; 0 before open
	given  int              // effects in it
	flying map[*turn]uint64 // eras of turns that are made ready and not settled
}

// eraEffects is how many effects close an era, and about how many counted by one counter: a page.
const eraEffects = store.MaxPage

// open begins the first era of this process, behind all that are stored.
func (s *eras) open(ctx context.Context, db store.DB) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != 0 {
		return nil
	}
	var last uint64
	for kind, index := range map[string]string{effectKind: "stands", checkpointKind: "era"} {
		page, err := db.List(ctx, store.Query{Kind: kind, Index: index, Reverse: true, Limit: 1})
		if err != nil {
			return err
		}
		if len(page.Docs) == 0 {
			continue
		}
		for _, x := range page.Docs[0].Index {
			if x.Name == index {
				era, err := strconv.ParseUint(x.Value, 16, 64)
				if err != nil {
					return fmt.Errorf("the era of %s %s: %w", kind, page.Docs[0].Key.ID, err)
				}
				last = max(last, era)
			}
		}
	}
	s.now, s.flying = last+1, map[*turn]uint64{}
	return nil
}

// enter gives a turn in which operations with so many effects ended their era.
func (s *eras) enter(t *turn, effects int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	era := s.now
	s.flying[t] = era
	if s.given += effects; s.given >= eraEffects {
		s.close()
	}
	return era
}

// leave is called when the store has answered a turn, or when it was dropped.
func (s *eras) leave(t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flying, t)
}

func (s *eras) close() { s.now, s.given = s.now+1, 0 }

// cut closes the era. It returns the first era that may have operations which are not stored yet, and the new one.
func (s *eras) cut() (first, now uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close()
	first = s.now
	for _, era := range s.flying {
		first = min(first, era)
	}
	return first, s.now
}

// last returns the open era.
func (s *eras) last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// eraKey is an era as an index has it: texts in the order of the numbers.
func eraKey(era uint64) string { return fmt.Sprintf("%016x", era) }
