package run

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// GetHeader returns the header of a run of that kind, or a fault of kind NotFound.
func GetHeader(ctx context.Context, db store.DB, kind dag.Kind, runID string) (dag.Header, error) {
	h, err := Headers().Get(ctx, db, runID)
	if err == nil && (h.Rev == 0 || h.Value.Kind != kind) {
		return dag.Header{}, Unknown(kind)
	}
	return h.Value, err
}

// GetTask returns the task with that id, or a fault of kind NotFound.
func GetTask(ctx context.Context, db store.DB, taskID string) (dag.Task, error) {
	if !id.Valid(taskID) {
		return dag.Task{}, Unknown(dag.Workflow)
	}
	t, err := Tasks().Get(ctx, db, taskID)
	if err == nil && t.Rev == 0 {
		err = Unknown(dag.Workflow)
	}
	return t.Value, err
}

// ListTasks lists tasks, newest first; only those with that status, unless it is empty.
func ListTasks(ctx context.Context, db store.DB, status dag.Status, p store.Place) (store.Window[dag.Task], error) {
	q := store.Query{}
	if status != "" {
		q = store.Query{Index: "status", Prefix: string(status), Exact: true}
	}
	return Tasks().Window(ctx, db, p, q)
}

// Batch is a batch with its operations.
type Batch struct {
	Run   dag.Header
	Tasks []dag.Task // in the order of the definition
}

// GetBatch returns the batch with that id, or a fault of kind NotFound.
func GetBatch(ctx context.Context, db store.DB, batchID string) (Batch, error) {
	if !id.Valid(batchID) {
		return Batch{}, Unknown(dag.Batch)
	}
	h, err := GetHeader(ctx, db, dag.Batch, batchID)
	if err != nil {
		return Batch{}, err
	}
	tasks, err := TasksOf(ctx, db, batchID)
	return Batch{Run: h, Tasks: tasks}, err
}

// ListBatches lists batches, newest first; only those with that status, unless it is empty.
func ListBatches(ctx context.Context, db store.DB, status dag.Status, p store.Place) (store.Window[dag.Header], error) {
	q := store.Query{Index: "kind", Prefix: string(dag.Batch), Exact: true}
	if status != "" {
		q.Index, q.Prefix = "status", StatusKey(dag.Batch, status)
	}
	return Headers().Window(ctx, db, p, q)
}

// Unknown is the fault of kind NotFound that says that there is no run of a kind with that id.
func Unknown(kind dag.Kind) error {
	noun := Singular(kind)
	return fault.New(fault.NotFound, noun+".unknown", "There is no %s with this id; %s", noun, listed(kind))
}

// listed says where the runs of a kind are listed with their ids.
func listed(kind dag.Kind) string {
	switch kind {
	case dag.Batch:
		return "GET /batch/operations lists those there are, with their names."
	case dag.Rollback:
		return "GET /rollback/executions lists those there are."
	}
	return "GET /tasks lists those there are, with their names."
}

// Singular is the noun of one run of a kind; a workflow is a task on the wire.
func Singular(k dag.Kind) string {
	if k == dag.Workflow {
		return "task"
	}
	return string(k)
}

// Plural is the noun of runs of a kind.
func Plural(k dag.Kind) string {
	switch k {
	case dag.Batch:
		return "batches"
	case dag.Rollback:
		return "rollbacks"
	}
	return "tasks"
}
