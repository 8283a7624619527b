package retention

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/store"
)

// Tally counts the rows that were pruned, by the names of steps: on the day that has no audit
// entry yet, and ever.
type Tally struct {
	Day   string           `json:"day"` // of UTC, 2006-01-02; empty before the first
	Ever  map[string]int64 `json:"ever"`
	ID    string           `json:"id"`
	Today map[string]int64 `json:"today"`
}

const tallyID = "tally"

var tallies = store.Table[Tally]{Kind: "retention", ID: func(t Tally) string { return t.ID }}

// Kinds returns the kinds of documents of this package.
func Kinds() []store.Kind { return []store.Kind{{Name: tallies.Kind}} }

// Pruned returns how many rows were ever pruned, by the names of steps. Whoever shows a total
// adds what is there now.
func Pruned(ctx context.Context, db store.DB) (map[string]int64, error) {
	row, err := tallies.Get(ctx, db, tallyID)
	return row.Value.Ever, err
}

// of returns the sum of what belongs to a class.
func of(class string, counts map[string]int64) (n int64) {
	for name, c := range counts {
		if name == class || strings.HasPrefix(name, class+"/") {
			n += c
		}
	}
	return n
}

// after returns the tally after a step at that time, and the audit entry of the day before, if
// the step is the first of a new one.
func (t Tally) after(ctx context.Context, s Step, now time.Time) (Tally, []store.Append, error) {
	t.ID = tallyID
	t.Ever, t.Today = sum(t.Ever, s.Pruned), maps.Clone(t.Today)
	var entry []store.Append
	today := now.UTC().Format(time.DateOnly)
	if t.Day != today {
		if len(t.Today) > 0 {
			details := map[string]any{}
			for name, n := range t.Today {
				details[name] = n
			}
			body, err := audit.EntryDraft{Action: "retention.prune", Resource: "retention/" + t.Day, Details: details}.Entry(ctx,
				now).Encode()
			if err != nil {
				return t, nil, err
			}
			entry = []store.Append{{Stream: audit.Stream, Body: body}}
		}
		t.Day, t.Today = today, nil
	}
	t.Today = sum(t.Today, s.Pruned)
	return t, entry, nil
}

func sum(a, b map[string]int64) map[string]int64 {
	out := make(map[string]int64, len(a)+len(b))
	maps.Copy(out, a)
	for name, n := range b {
		out[name] += n
	}
	return out
}
