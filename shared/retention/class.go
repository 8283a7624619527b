package retention

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
)

// KeepRule says what a class keeps: the rows that are younger than MaxAge and the newest Max rows,
// whichever is more (decision 45). 0 is no limit of that kind, and with two of them everything is
// kept.
type KeepRule struct {
	MaxAge time.Duration
	Max    int
}

// Limited says whether the rule lets anything go.
func (r KeepRule) Limited() bool { return r.MaxAge > 0 || r.Max > 0 }

// Excess returns how many of so many rows, the oldest ones, the limit of number lets go.
func (r KeepRule) Excess(rows int) int {
	if !r.Limited() {
		return 0
	}
	return max(0, rows-r.Max)
}

// Over says whether a row of that time is old enough to go.
func (r KeepRule) Over(at, now time.Time) bool {
	return r.Limited() && now.Sub(at) > r.MaxAge
}

// Step is what a class wants removed next, as one commit. Pruned counts its rows under the names
// of the tally: the name of the class, or that and a slash and what tells rows apart whose
// numbers somebody shows.
//
// Settled, if there is one, is called once the step was committed or dropped: until then nobody
// else may change what it stands on.
type Step struct {
	Batch   store.Batch
	Pruned  map[string]int64
	Settled func()
}

// Empty says whether there is nothing to remove.
func (s Step) Empty() bool {
	return len(s.Batch.Writes) == 0 && len(s.Batch.Appends) == 0 && len(s.Batch.Trims) == 0
}

// Kept is what is left of a class. Oldest is zero when nothing is. Ever counts rows that there
// are or were, by what tells them apart, for classes that have such totals.
type Kept struct {
	Rows   int
	Oldest time.Time
	Ever   map[string]int64
}

// Class is one kind of history.
type Class struct {
	Name string // a word, as metrics and the audit entry have it: "runs"
	// Next returns what is to go next at that time, the oldest first; an empty step when nothing
	// is over.
	Next func(ctx context.Context, now time.Time) (Step, error)
	// Kept says what is there. It reads counters and the first row, and never counts.
	Kept func(ctx context.Context) (Kept, error)
}
