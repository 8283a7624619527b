package engine

import (
	"context"
	"slices"
	"strconv"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// effects is the table of effects. One that stands has two keys: "stands", the era of its
// operation, on the lead only, so that the index counts operations; and "target", the server that a
// task service is on.
func effects() store.Table[dag.Effect] {
	return store.Table[dag.Effect]{Kind: effectKind, ID: func(e dag.Effect) string { return e.ID }, Index: func(e dag.Effect) []store.IndexKey { return effectIndex(&e) }}
}

func effectIndex(e *dag.Effect) []store.IndexKey {
	if !e.Progress.Applied {
		return nil
	}
	keys := make([]store.IndexKey, 0, 2)
	if e.Era != 0 {
		keys = append(keys, store.IndexKey{Name: "stands", Value: eraKey(e.Era)})
	}
	if target := e.Progress.Step.Target; target != "" {
		keys = append(keys, store.IndexKey{Name: "target", Value: target})
	}
	return keys
}

// effectOf returns the effect of a row. A lead that no later commit has written stands since its
// own revision.
func effectOf(row store.Row[dag.Effect]) dag.Effect {
	e := row.Value
	if e.Era != 0 && e.Since == 0 {
		e.Since = row.Rev
	}
	return e
}

// eachEffect calls fn for the effects that a query finds, in its order, until fn returns false.
func (e *Engine) eachEffect(ctx context.Context, q store.Query, fn func(dag.Effect) bool) error {
	for q.Limit = store.MaxPage; ; {
		rows, page, err := effects().List(ctx, e.DB, q)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if !fn(effectOf(row)) {
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
	origin, err := tasks().Get(ctx, e.DB, taskID)
	if err != nil {
		return u, err
	}
	if origin.Rev != 0 {
		task := taskOf(origin)
		u.Origin, u.OriginRev = &task, origin.Rev
	}
	return u, nil
}

// recall gives the steps of a run's tasks back what they recorded.
func (e *Engine) recall(ctx context.Context, run string, tasks []dag.Task) error {
	if !slices.ContainsFunc(tasks, func(t dag.Task) bool {
		return slices.ContainsFunc(t.Steps, func(p dag.StepState) bool { return p.Applied })
	}) {
		return nil
	}
	place := make(map[string]*dag.Task, len(tasks))
	for i := range tasks {
		place[tasks[i].ID] = &tasks[i]
	}
	return e.eachEffect(ctx, store.Query{Prefix: id.Family(run)}, func(x dag.Effect) bool {
		taskID, k := x.Place()
		if t := place[taskID]; t != nil && k < len(t.Steps) {
			t.Steps[k].Recorded = x.Recorded
		}
		return true
	})
}

// putEffect writes an effect. What a restore would need is left out of one that is too large.
func putEffect(docs *encoder, x *dag.Effect) store.Write {
	before := docs.Mark()
	docs.effect(x)
	if docs.Len() > dag.MaxEffect && len(x.Recorded.Made) > 0 {
		docs.Back(before)
		x.Recorded.Made = nil
		docs.effect(x)
	}
	return store.NewPut(effects().Key(x.ID), store.Any(), effectIndex(x), docs.Body())
}

// effect appends the document of an effect.
func (o *encoder) effect(x *dag.Effect) {
	o.Begin()
	o.Flag("batch", x.Batch)
	o.Count("era", int64(x.Era))
	o.Always("id", x.ID)
	o.Always("name", x.Name)
	if len(x.Needs) > 0 {
		list := []byte{'['}
		for i, n := range x.Needs {
			if i > 0 {
				list = append(list, ',')
			}
			list = strconv.AppendInt(list, int64(n), 10)
		}
		o.JSON("needs", append(list, ']'))
	}
	o.Flag("needs_all", x.NeedsAll)
	o.Number("number", int64(x.Number))
	o.Count("of", int64(x.Of))
	o.Text("operation", x.Operation)
	o.Object("progress")
	o.progress(&x.Progress)
	o.End()
	o.Object("recorded")
	o.Time("at", x.Recorded.At)
	o.Dict("facts", x.Recorded.Facts)
	if len(x.Recorded.Made) > 0 {
		o.Array("made")
		for i := range x.Recorded.Made {
			m := &x.Recorded.Made[i]
			o.Begin()
			o.Dict("facts", m.Facts)
			o.Flag("gone", m.Gone)
			o.Always("kind", m.Kind)
			o.Always("name", m.Name)
			o.Always("provider", m.Provider)
			o.End()
		}
		o.EndArray()
	}
	o.End()
	o.Text("rollback", x.Rollback)
	o.Always("run", x.Run)
	o.Count("since", int64(x.Since))
	o.End()
}

// operationsAfter counts the operations that stand and ended after a checkpoint.
func (e *Engine) operationsAfter(ctx context.Context, c Checkpoint) (int, error) {
	if err := e.eras.open(ctx, e.DB); err != nil {
		return 0, err
	}
	end := e.eras.last() + 1
	return e.operationsBetween(ctx, c, Checkpoint{Cut: store.Latest, EraFrom: end, EraTo: end})
}

// operationsBetween counts the operations that stand and ended after a checkpoint and not after a
// later one: with a counter for each era between them, and a look at the operations of the eras
// that they cut through.
func (e *Engine) operationsBetween(ctx context.Context, c, newer Checkpoint) (n int, err error) {
	for era := c.EraFrom; era < newer.EraTo; {
		q := store.Query{Kind: effectKind}
		for len(q.Counts) < store.MaxPage && era < newer.EraTo {
			q.Counts = append(q.Counts, store.Counter{Kind: effectKind, Index: "stands", Value: eraKey(era)})
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
			err := e.eachEffect(ctx, store.Query{Index: "stands", Prefix: eraKey(at), Exact: true}, func(x dag.Effect) bool {
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
		q.After.Value = eraKey(plan.Taken.Era + 1)
	}
	var leads, era []dag.Effect // era: those of one, which are not in order
	found := 0
	sorted := func() {
		slices.SortFunc(era, func(a, b dag.Effect) int {
			switch {
			case rankOf(&a) == rankOf(&b):
				return 0
			case rankOf(&a).Before(rankOf(&b)):
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
		if x.Since > plan.Cut && (plan.Taken == nil || plan.Taken.Before(rankOf(&x))) {
			era = append(era, x)
		}
		return true
	})
	sorted()
	return leads, err
}

// rankOf returns the place of the operation of a lead.
func rankOf(lead *dag.Effect) dag.Rank {
	taskID, _ := lead.Place()
	return dag.Rank{Era: lead.Era, Since: lead.Since, Task: taskID}
}
