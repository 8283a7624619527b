package rollback

import (
	"context"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/store"
)

// maxNamesakes is how many operations of one id are looked at to find the one that is meant.
const maxNamesakes = 2000

// resolve returns the id of the task that a reference means: a task id, "<batch id>/<operation
// id>", or an operation id. The task must have ended. When its document was pruned, its effects
// still say its id and that of its batch.
func resolve(ctx context.Context, db store.DB, ref string) (taskID string, err error) {
	unknown := fault.New(fault.NotFound, "rollback.unknown_operation",
		"There is no operation %s; name a task id, <batch id>/<operation id>, or an operation id.", naming.Clip(ref, 64))
	if taskID := id.Canonical(ref); id.Valid(taskID) {
		t, err := run.Tasks().Get(ctx, db, taskID)
		if err != nil {
			return "", err
		}
		if t.Rev != 0 {
			return ended(&t.Value)
		}
		if effects, err := run.EffectsOf(ctx, db, taskID); err != nil || len(effects) > 0 {
			return taskID, err
		} // an operation may be called like a task id
	}
	batchID, name, qualified := strings.Cut(ref, "/")
	if !qualified {
		name = ref
	}
	if name == "" || len(name) > dag.MaxOperationID || strings.ContainsRune(name, 0) {
		return "", unknown
	}
	if !qualified {
		return resolveName(ctx, db, name, unknown)
	}
	if batchID = id.Canonical(batchID); !id.Valid(batchID) {
		return "", unknown
	}
	return resolveOf(ctx, db, batchID, name, unknown)
}

// resolveOf returns the id of the task of an operation of one batch. The tasks of a batch stand
// together in the index, in the order of their ids.
func resolveOf(ctx context.Context, db store.DB, batchID, name string, unknown error) (string, error) {
	family := id.Family(batchID)
	q := store.Query{Index: "operation", Prefix: name, Exact: true, Limit: 1, After: store.Cursor{Value: name, ID: family}}
	for row, err := range run.Tasks().All(ctx, db, q) {
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(row.Value.ID, family) {
			break
		}
		if row.Value.Run == batchID {
			return ended(&row.Value)
		}
	}
	for row, err := range run.Effects().All(ctx, db, store.Query{Prefix: family}) {
		if err != nil {
			return "", err
		}
		if x := &row.Value; x.Run == batchID && x.Batch && x.Operation == name {
			taskID, _ := x.TaskAndStep()
			return taskID, nil
		}
	}
	return "", unknown
}

// resolveName returns the id of the task of the only operation with that id, or of the only one
// that has something to undo.
func resolveName(ctx context.Context, db store.DB, name string, unknown error) (string, error) {
	var found []dag.Task // newest first
	for row, err := range run.Tasks().All(ctx, db, store.Query{Index: "operation", Prefix: name, Exact: true, Reverse: true}) {
		if err != nil {
			return "", err
		}
		if found = append(found, row.Value); len(found) == maxNamesakes {
			break
		}
	}
	left := slices.DeleteFunc(slices.Clone(found), func(t dag.Task) bool { return t.State.Terminal() && !t.HasEffects() })
	switch {
	case len(found) == 0:
		return "", unknown
	case len(found) == 1:
		return ended(&found[0])
	case len(left) == 1 && len(found) < maxNamesakes:
		return ended(&left[0])
	}
	var examples []string
	for _, t := range found[:min(len(found), 20)] {
		examples = append(examples, t.Run+"/"+name)
	}
	return "", fault.New(fault.Invalid, "rollback.ambiguous",
		"Operation %s is in several batches; say which, for example: %s.", name, strings.Join(examples, ", "))
}

// ended returns the id of a task, and a fault when it has not ended.
func ended(t *dag.Task) (string, error) {
	if !t.State.Terminal() {
		return "", fault.New(fault.Conflict, "rollback.running_operation", "Operation %s has not ended; cancel it or wait.", t.Name)
	}
	return t.ID, nil
}
