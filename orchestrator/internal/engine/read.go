package engine

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Page asks for a part of a list, newest first. Before keeps offsets stable while rows are added: only rows
// below it are listed and counted. Window returns the value that does that for the rows of this moment.
type Page struct {
	Status dag.Status // only rows with that status; empty for all
	Limit  int
	Offset int
	Before string
}

// Window is a page of a list: its rows, how many there are in all, and the Before for the pages behind it.
type Window[T any] struct {
	Rows   []T
	Total  int
	Before string
}

// BatchView is a batch with its operations.
type BatchView struct {
	Run   dag.Header
	Tasks []dag.Task // in the order of the definition
}

// Task returns the task with that id.
func (e *Engine) Task(ctx context.Context, taskID string) (dag.Task, error) {
	if !id.Valid(taskID) {
		return dag.Task{}, unknown(dag.Workflow, taskID)
	}
	t, err := tasks().Get(ctx, e.DB, taskID)
	if err == nil && t.Rev == 0 {
		err = unknown(dag.Workflow, taskID)
	}
	return t.Value, err
}

// Tasks lists tasks, newest first.
func (e *Engine) Tasks(ctx context.Context, p Page) (Window[dag.Task], error) {
	q := store.Query{}
	if p.Status != "" {
		q.Index, q.Prefix, q.Exact = "status", string(p.Status), true
	}
	return list(ctx, e.DB, tasks(), q, p)
}

// Batch returns the batch with that id.
func (e *Engine) Batch(ctx context.Context, batchID string) (BatchView, error) {
	if !id.Valid(batchID) {
		return BatchView{}, unknown(dag.Batch, batchID)
	}
	h, err := e.header(ctx, dag.Batch, batchID)
	if err != nil {
		return BatchView{}, err
	}
	rows, err := e.tasksOf(ctx, tasks(), batchID)
	return BatchView{Run: h, Tasks: rows}, err
}

// Batches lists batches, newest first.
func (e *Engine) Batches(ctx context.Context, p Page) (Window[BatchView], error) {
	q := store.Query{Index: "kind", Prefix: string(dag.Batch), Exact: true}
	if p.Status != "" {
		q.Index, q.Prefix = "status", runStatus(dag.Batch, p.Status)
	}
	w, err := list(ctx, e.DB, headers(), q, p)
	if err != nil {
		return Window[BatchView]{}, err
	}
	views := Window[BatchView]{Total: w.Total, Before: w.Before, Rows: make([]BatchView, len(w.Rows))}
	for i, h := range w.Rows {
		rows, err := e.tasksOf(ctx, tasks(), h.ID)
		if err != nil {
			return Window[BatchView]{}, err
		}
		views.Rows[i] = BatchView{Run: h, Tasks: rows}
	}
	return views, nil
}

// Resources lists the inventory by provider, kind and name.
func (e *Engine) Resources(ctx context.Context) ([]Resource, error) {
	var all []Resource
	q := store.Query{Limit: store.MaxPage}
	for {
		rows, page, err := resources().List(ctx, e.DB, q)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			all = append(all, row.Value)
		}
		if !page.More {
			return all, nil
		}
		q.After = page.Next
	}
}

// Resource returns a row of the inventory and whether there is one.
func (e *Engine) Resource(ctx context.Context, provider, kind, name string) (Resource, bool, error) {
	row, err := resources().Get(ctx, e.DB, provider+"/"+kind+"/"+name)
	return row.Value, row.Rev != 0, err
}

// list answers a page of a table, newest first, with its total.
func list[T any](ctx context.Context, db store.DB, table store.Table[T], q store.Query, p Page) (Window[T], error) {
	q.Reverse, q.Limit, q.Skip, q.Total = true, p.Limit, p.Offset, true
	if p.Before != "" {
		q.After = store.Cursor{ID: p.Before}
		if q.Index != "" {
			q.After.Value = q.Prefix
		}
	}
	rows, page, err := table.List(ctx, db, q)
	if err != nil {
		return Window[T]{}, err
	}
	w := Window[T]{Rows: make([]T, len(rows)), Total: page.Total, Before: p.Before}
	for i := range rows {
		w.Rows[i] = rows[i].Value
	}
	if p.Before != "" {
		newer, err := count(ctx, db, table.Kind, q)
		w.Total -= newer
		return w, err
	}
	if len(rows) > 0 && p.Offset == 0 {
		w.Before = table.ID(rows[0].Value) + "~" // above this row, below every newer one
	}
	return w, nil
}

// count returns how many rows stand at or above the place that q starts behind.
func count(ctx context.Context, db store.DB, kind string, q store.Query) (int, error) {
	q.Kind, q.Reverse, q.Limit, q.Skip, q.Total = kind, false, store.MaxPage, 0, false
	for n := 0; ; {
		page, err := db.List(ctx, q)
		if err != nil {
			return 0, err
		}
		n += len(page.Docs)
		if !page.More {
			return n, nil
		}
		q.After = page.Next
	}
}
