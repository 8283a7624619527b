package engine

import (
	"context"
	"slices"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/store"
)

// operationsAfter counts the operations that stand and ended after a checkpoint.
func (e *Engine) operationsAfter(ctx context.Context, c run.Checkpoint) (int, error) {
	if err := e.eras.open(ctx, e.DB); err != nil {
		return 0, err
	}
	end := e.eras.last() + 1
	return e.operationsBetween(ctx, c, run.Checkpoint{Cut: store.Latest, EraFrom: end, EraTo: end})
}

// operationsBetween counts the operations that stand and ended after a checkpoint and not after a
// later one: with a counter for each era between them, and a look at the operations of the eras
// that they cut through.
func (e *Engine) operationsBetween(ctx context.Context, c, newer run.Checkpoint) (n int, err error) {
	for era := c.EraFrom; era < newer.EraTo; {
		q := store.Query{Kind: run.Effects().Kind}
		for len(q.Counts) < store.MaxPage && era < newer.EraTo {
			q.Counts = append(q.Counts, store.Counter{Kind: run.Effects().Kind, Index: "stands", Value: run.EraKey(era)})
			era++
		}
		page, err := e.DB.List(ctx, q)
		if err != nil {
			return 0, err
		}
		for i, count := range page.Counts {
			at := era - uint64(len(page.Counts)-i)
			if at >= c.EraTo && at < newer.EraFrom || count.N == 0 {
				n += count.N
				continue
			}
			for row, err := range run.Rows(ctx, e.DB, run.Effects(), store.Query{Index: "stands", Prefix: run.EraKey(at), Exact: true}) {
				if err != nil {
					return 0, err
				}
				if x := run.EffectOf(row); x.Since > c.Cut && x.Since <= newer.Cut {
					n++
				}
			}
		}
	}
	return n, nil
}

// later returns leads that stand since after the cut of a plan and were not taken yet, in the order
// in which they are undone: so many that their operations have at least most effects together, if
// there are so many.
func (e *Engine) later(ctx context.Context, plan *dag.UndoPlan, most int) ([]dag.Effect, error) {
	q := store.Query{Index: "stands", Reverse: true}
	if plan.Taken != nil { // once more the era of the last
		q.After.Value = run.EraKey(plan.Taken.Era + 1)
	}
	var leads, era []dag.Effect // era: those of one, which are not in order
	found := 0
	sorted := func() {
		slices.SortFunc(era, func(a, b dag.Effect) int {
			switch {
			case run.RankOf(&a) == run.RankOf(&b):
				return 0
			case run.RankOf(&a).Before(run.RankOf(&b)):
				return -1
			}
			return 1
		})
		for _, x := range era {
			if found < most {
				leads, found = append(leads, x), found+x.Of
			}
		}
		era = era[:0]
	}
	for row, err := range run.Rows(ctx, e.DB, run.Effects(), q) {
		if err != nil {
			return nil, err
		}
		x := run.EffectOf(row)
		if len(era) > 0 && era[0].Era != x.Era {
			sorted()
		}
		if found >= most || x.Era < plan.Era {
			break
		}
		if x.Since > plan.Cut && (plan.Taken == nil || plan.Taken.Before(run.RankOf(&x))) {
			era = append(era, x)
		}
	}
	sorted()
	return leads, nil
}
