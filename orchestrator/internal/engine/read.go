package engine

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

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
	t, err := run.Tasks().Get(ctx, e.DB, taskID)
	if err == nil && t.Rev == 0 {
		err = unknown(dag.Workflow, taskID)
	}
	return t.Value, err
}

// Tasks lists tasks, newest first; only those with that status, unless it is empty.
func (e *Engine) Tasks(ctx context.Context, status dag.Status, p store.Place) (store.Window[dag.Task], error) {
	q := store.Query{}
	if status != "" {
		q.Index, q.Prefix, q.Exact = "status", string(status), true
	}
	return run.Tasks().Window(ctx, e.DB, p, q)
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
	rows, err := e.tasksOf(ctx, batchID)
	return BatchView{Run: h, Tasks: rows}, err
}

// Batches lists batches, newest first; only those with that status, unless it is empty.
func (e *Engine) Batches(ctx context.Context, status dag.Status, p store.Place) (store.Window[dag.Header], error) {
	q := store.Query{Index: "kind", Prefix: string(dag.Batch), Exact: true}
	if status != "" {
		q.Index, q.Prefix = "status", run.StatusKey(dag.Batch, status)
	}
	return run.Headers().Window(ctx, e.DB, p, q)
}

// TasksOf returns the tasks of a run, in the order of its definition.
func (e *Engine) TasksOf(ctx context.Context, runID string) ([]dag.Task, error) {
	return e.tasksOf(ctx, runID)
}

// Resources lists the inventory by provider, kind and name.
func (e *Engine) Resources(ctx context.Context) ([]run.Resource, error) {
	var all []run.Resource
	q := store.Query{Limit: store.MaxPage}
	for {
		rows, page, err := run.Resources().List(ctx, e.DB, q)
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
func (e *Engine) Resource(ctx context.Context, provider, kind, name string) (run.Resource, bool, error) {
	row, err := run.Resources().Get(ctx, e.DB, provider+"/"+kind+"/"+name)
	return row.Value, row.Rev != 0, err
}
