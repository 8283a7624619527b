package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// choose returns the tasks of the operations named whose effects stand, and refuses when something that still stands
// depends on one of them. An operation with nothing to undo is left out.
func (e *Engine) choose(ctx context.Context, q RollbackRequest) ([]dag.Task, error) {
	named := map[string]dag.Task{}
	for _, ref := range q.Operations {
		t, err := e.operation(ctx, ref)
		if err != nil {
			return nil, err
		}
		named[t.ID] = t
	}
	oldest := time.Time{}
	for _, t := range named {
		if !t.State.Terminal() {
			return nil, fault.New(fault.Conflict, "rollback.running_operation", "Operation %s has not ended; cancel it or wait.", t.Name)
		}
		if oldest.IsZero() || t.CompletedAt.Before(oldest) {
			oldest = *t.CompletedAt
		}
	}
	rows, err := e.effectsSince(ctx, oldest.Add(-skew))
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(rows, func(a, b dag.Task) int { return cmp.Compare(a.Stood, b.Stood) })
	chosen := map[string]bool{}
	made := map[string]bool{}
	var out []dag.Task
	for _, row := range rows { // oldest first: what it depends on is already judged
		_, wanted := named[row.ID]
		if !wanted {
			needs := e.needs(ctx, &row, chosen, made)
			if needs == "" {
				continue
			}
			if !q.Cascade {
				return nil, fault.New(fault.Conflict, "rollback.needed", "%s still needs what you want to undo (%s); name it too, or set cascade.", row.Name, needs)
			}
		}
		chosen[row.ID] = true
		servers, _ := row.Servers()
		for _, server := range servers {
			made[server] = true
		}
		out = append(out, row)
	}
	return out, nil
}

// needs says what the task needs of the chosen ones: a server they made or an operation it depends on.
func (e *Engine) needs(ctx context.Context, t *dag.Task, chosen, made map[string]bool) string {
	_, used := t.Servers()
	for _, server := range used {
		if made[server] {
			return "server " + server
		}
	}
	for _, dep := range t.Dependencies {
		if chosen[dep] {
			return e.nameOf(ctx, dep)
		}
	}
	return ""
}

func (e *Engine) nameOf(ctx context.Context, taskID string) string {
	t, err := tasks().Get(ctx, e.DB, taskID)
	if err != nil || t.Rev == 0 {
		return taskID
	}
	return t.Value.Name
}

// maxNamesakes is how many operations of one id are looked at to find the one that is meant.
const maxNamesakes = 2000

// operation finds the task that a reference of a rollback means.
func (e *Engine) operation(ctx context.Context, ref string) (dag.Task, error) {
	missing := fault.New(fault.NotFound, "rollback.unknown_operation", "There is no operation %s; name a task id, <batch id>/<operation id>, or an operation id.", clip(ref))
	if taskID := id.Canonical(ref); id.Valid(taskID) {
		t, err := tasks().Get(ctx, e.DB, taskID)
		if err != nil || t.Rev != 0 {
			return t.Value, err
		} // an operation may be called like that
	}
	batch, name, qualified := strings.Cut(ref, "/")
	if !qualified {
		name = ref
	}
	if name == "" || len(name) > dag.MaxOperationID || strings.ContainsRune(name, 0) {
		return dag.Task{}, missing
	}
	found, err := e.namesakes(ctx, id.Canonical(batch), name, qualified)
	if err != nil {
		return dag.Task{}, err
	}
	standing := slices.DeleteFunc(slices.Clone(found), func(t dag.Task) bool { return t.State.Terminal() && !t.Standing() })
	switch {
	case len(found) == 0:
		return dag.Task{}, missing
	case len(found) == 1:
		return found[0], nil
	case len(standing) == 1 && len(found) < maxNamesakes: // those with nothing left to undo are not meant
		return standing[0], nil
	}
	var batches []string
	for _, t := range found[:min(len(found), 20)] {
		batches = append(batches, t.Run+"/"+name)
	}
	return dag.Task{}, fault.New(fault.Invalid, "rollback.ambiguous", "Operation %s is in several batches; say which, for example: %s.", name, strings.Join(batches, ", "))
}

// namesakes returns the operations with that id, newest first and at most maxNamesakes: of one batch, whose tasks stand
// together in the order of ids, or of all.
func (e *Engine) namesakes(ctx context.Context, batch, name string, one bool) (found []dag.Task, err error) {
	q := store.Query{Index: "operation", Prefix: name, Exact: true, Reverse: true, Limit: store.MaxPage}
	family := ""
	if one {
		if !id.Valid(batch) {
			return nil, nil
		}
		family, q.Reverse, q.Limit = id.Family(batch), false, 1
		q.After = store.Cursor{Value: name, ID: family}
	}
	for len(found) < maxNamesakes {
		rows, page, err := tasks().List(ctx, e.DB, q)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if !strings.HasPrefix(row.Value.ID, family) {
				return found, nil
			}
			if !one || row.Value.Run == batch {
				found = append(found, row.Value)
			}
		}
		if !page.More {
			break
		}
		q.After = page.Next
	}
	return found, nil
}

// undoing makes the nodes of a rollback, and brings chosen into their order: later completions first. A node waits for the undo of what depended
// on it in its own run, and of what was done later to the same server.
func (e *Engine) undoing(ctx context.Context, rollbackID string, chosen []dag.Task) ([]dag.Node, error) {
	slices.SortStableFunc(chosen, func(a, b dag.Task) int {
		return cmp.Or(cmp.Compare(b.Stood, a.Stood), b.CompletedAt.Compare(*a.CompletedAt), cmp.Compare(b.ID, a.ID))
	})
	nodes := make([]dag.Node, 0, len(chosen))
	place := map[string]int{}
	definitions := map[string][]dag.Node{}
	for i := range chosen {
		t := &chosen[i]
		op, err := e.operationOf(ctx, definitions, t)
		if err != nil {
			return nil, err
		}
		place[t.ID] = i
		nodes = append(nodes, dag.Node{
			ID: t.ID, Name: t.Name, OnFailure: dag.OnFailureContinue, Operation: op, TaskID: id.Within(rollbackID, i), Undo: t.ID,
		})
	}
	before := make([]map[string]bool, len(nodes)) // ids of nodes that come first
	for i := range nodes {
		before[i] = map[string]bool{}
	}
	for i := range chosen {
		for _, dep := range chosen[i].Dependencies {
			if d, ok := place[dep]; ok {
				before[d][nodes[i].ID] = true
			}
		}
	}
	last := map[string]int{} // the node so far that comes last on a server
	for i := range chosen {
		made, used := chosen[i].Servers()
		for _, server := range append(made, used...) {
			if j, ok := last[server]; ok && j != i {
				before[i][nodes[j].ID] = true
			}
			last[server] = i
		}
	}
	for i := range nodes {
		for dep := range before[i] {
			if place[dep] < i { // always so, unless a clock or a document lies: never a cycle
				nodes[i].Dependencies = append(nodes[i].Dependencies, dep)
			}
		}
		slices.Sort(nodes[i].Dependencies)
	}
	return nodes, nil
}

// operationOf returns what the task's node says, without what only its resolution needs.
func (e *Engine) operationOf(ctx context.Context, cache map[string][]dag.Node, t *dag.Task) (dag.Operation, error) {
	nodes, ok := cache[t.Run]
	if !ok {
		h, err := headers().Get(ctx, e.DB, t.Run)
		if err != nil {
			return dag.Operation{}, err
		}
		if !h.Value.State.Terminal() { // its owner still writes its tasks
			return dag.Operation{}, fault.New(fault.Conflict, "rollback.running_batch", "%s is part of a %s that has not ended; cancel that or wait.", t.Name, h.Value.Kind)
		}
		for n := range h.Value.Slices {
			part, err := parts[dag.Node](definitionKind).Get(ctx, e.DB, sliceID(t.Run, n))
			if err != nil {
				return dag.Operation{}, err
			}
			nodes = append(nodes, part.Value.Items...)
		}
		if len(cache) > 100 {
			clear(cache)
		}
		cache[t.Run] = nodes
	}
	if t.Number >= len(nodes) {
		return dag.Operation{Type: t.Type}, nil
	}
	op := nodes[t.Number].Operation
	op.Servers, op.Targets, op.Taskservs = nil, nil, nil
	return op, nil
}
