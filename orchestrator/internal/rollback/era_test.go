package rollback

import (
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// TestEras_boundaryStaysBeforeCommitsOnTheirWay: as long as the store has not answered a commit,
// its era may have operations that are not stored.
func TestEras_boundaryStaysBeforeCommitsOnTheirWay(t *testing.T) {
	t.Parallel()
	s := NewEras(16)
	if err := s.Open(t.Context(), memstore.New(store.Schema{Service: "orchestrator", Kinds: run.Schema()})); err != nil {
		t.Fatal(err)
	}
	is := func(what string, first, behind uint64) {
		t.Helper()
		if f, b := s.boundary(); f != first || b != behind {
			t.Errorf("%s: boundary %d, %d, want %d, %d", what, f, b, first, behind)
		}
	}
	is("nothing", 1, 1)
	one, two := s.Assign(1), s.Assign(1)
	is("two operations in the open era", 1, 2)
	s.Settle(one)
	is("one of them is stored", 1, 2)
	three := s.Assign(1) // with these, a checkpoint closes the era
	is("three operations", 1, 2)
	if four := s.Assign(16); four != 2 {
		t.Errorf("the fourth got era %d, want 2", four)
	}
	is("an era that is full is closed", 1, 3)
	s.Settle(two)
	s.Settle(three)
	is("all of the first era are stored", 2, 3)
	s.Settle(2)
	is("everything is stored", 3, 3)
}
