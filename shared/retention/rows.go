package retention

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
)

// atOnce is how many rows one step removes: a commit of a few milliseconds.
const atOnce = 256

// Rows returns the class of the documents in the list that q asks for, oldest first, with nothing
// beside them. at reads the time of one.
func Rows(db store.DB, name string, q store.Query, rule KeepRule, at func(store.Doc) time.Time) Class {
	return Class{
		Name: name,
		Kept: func(ctx context.Context) (Kept, error) {
			total, oldest, err := beginning(ctx, db, q, 1)
			k := Kept{Rows: total}
			if len(oldest) > 0 {
				k.Oldest = at(oldest[0])
			}
			return k, err
		},
		Next: func(ctx context.Context, now time.Time) (Step, error) {
			if !rule.Limited() {
				return Step{}, nil
			}
			total, oldest, err := beginning(ctx, db, q, atOnce)
			if err != nil {
				return Step{}, err
			}
			var s Step
			for _, d := range oldest[:min(len(oldest), rule.Excess(total))] {
				if !rule.Over(at(d), now) {
					break
				}
				s.Batch.Writes = append(s.Batch.Writes, store.Write{Key: d.Key, Expect: store.At(d.Rev), Action: store.Delete})
			}
			s.Pruned = map[string]int64{name: int64(len(s.Batch.Writes))}
			return s, nil
		},
	}
}

// beginning returns how many documents of the kind of q there are, and the first ones of its list.
func beginning(ctx context.Context, db store.DB, q store.Query, limit int) (total int, first []store.Doc, err error) {
	q.Limit, q.Counts = limit, []store.CounterKey{{Kind: q.Kind}}
	page, err := db.List(ctx, q)
	if err != nil {
		return 0, nil, err
	}
	return page.Counts[0].N, page.Docs, nil
}
