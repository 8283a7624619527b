package engine

import (
	"context"
	"slices"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// eachEffect calls fn for the effects that a query finds, in its order, until fn returns false.
func (e *Engine) eachEffect(ctx context.Context, q store.Query, fn func(dag.Effect) bool) error {
	for q.Limit = store.MaxPage; ; {
		rows, page, err := run.Effects().List(ctx, e.DB, q)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if !fn(run.EffectOf(row)) {
				return nil
			}
		}
		if !page.More {
			return nil
		}
		q.After = page.Next
	}
}

// effectsOf returns the effects of a task.
func (e *Engine) effectsOf(ctx context.Context, taskID string) (all []dag.Effect, err error) {
	err = e.eachEffect(ctx, store.Query{Prefix: taskID + "."}, func(x dag.Effect) bool {
		all = append(all, x)
		return true
	})
	return all, err
}

// reversal returns the operation of a lead as a rollback needs it. Effects that were undone since
// are among those of the operation, and a lead that is none any more says nothing of the others.
func (e *Engine) reversal(ctx context.Context, lead dag.Effect) (dag.Reversal, error) {
	u := dag.Reversal{Effects: []dag.Effect{lead}}
	taskID, _ := lead.Place()
	var err error
	if lead.Of != 1 {
		if u.Effects, err = e.effectsOf(ctx, taskID); err != nil {
			return u, err
		}
	}
	origin, err := run.Tasks().Get(ctx, e.DB, taskID)
	if err != nil {
		return u, err
	}
	if origin.Rev != 0 {
		task := run.TaskOf(origin)
		u.Origin, u.OriginRev = &task, origin.Rev
	}
	return u, nil
}

// recall gives the steps of a run's tasks back what they recorded.
func (e *Engine) recall(ctx context.Context, runID string, tasks []dag.Task) error {
	if !slices.ContainsFunc(tasks, func(t dag.Task) bool {
		return slices.ContainsFunc(t.Steps, func(p dag.StepState) bool { return p.Applied })
	}) {
		return nil
	}
	place := make(map[string]*dag.Task, len(tasks))
	for i := range tasks {
		place[tasks[i].ID] = &tasks[i]
	}
	return e.eachEffect(ctx, store.Query{Prefix: id.Family(runID)}, func(x dag.Effect) bool {
		taskID, k := x.Place()
		if t := place[taskID]; t != nil && k < len(t.Steps) {
			t.Steps[k].Recorded = x.Recorded
		}
		return true
	})
}

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
			err := e.eachEffect(ctx, store.Query{Index: "stands", Prefix: run.EraKey(at), Exact: true}, func(x dag.Effect) bool {
				if x.Since > c.Cut && x.Since <= newer.Cut {
					n++
				}
				return true
			})
			if err != nil {
				return 0, err
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
	err := e.eachEffect(ctx, q, func(x dag.Effect) bool {
		if len(era) > 0 && era[0].Era != x.Era {
			sorted()
		}
		if found >= most || x.Era < plan.Era {
			return false
		}
		if x.Since > plan.Cut && (plan.Taken == nil || plan.Taken.Before(run.RankOf(&x))) {
			era = append(era, x)
		}
		return true
	})
	sorted()
	return leads, err
}
