package history

import "testing"

// TestCuts_needWhatARollbackUndoesAndARestoreListsAgain: an effect stands since a commit, and was
// undone by another or not (0).
func TestCuts_needWhatARollbackUndoesAndARestoreListsAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cuts          cuts
		since, undone uint64
		want          bool
	}{
		{nil, 5, 0, false}, {cuts{4, 9}, 5, 0, true}, {cuts{5}, 5, 0, false}, {cuts{9}, 5, 0, false},
		{nil, 5, 8, false}, {cuts{4, 9}, 5, 8, false}, {cuts{4, 5, 9}, 5, 8, true}, {cuts{7}, 5, 8, true}, {cuts{8}, 5, 8, false},
	} {
		if got := c.cuts.need(c.since, c.undone); got != c.want {
			t.Errorf("cuts %v need an effect since %d, undone by %d: %v, want %v", c.cuts, c.since, c.undone, got, c.want)
		}
	}
}
