package engine

import (
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/store"
)

// EventStream is the stream of the events that watchers read.
const EventStream = "events"

// The kinds of documents.
const (
	runKind        = "run"        // header of a run; id = run id
	definitionKind = "definition" // a slice of a definition, or a wave of a rollback; id = "<run id>.<n>"
	taskKind       = "task"       // what GET /tasks lists; id = within the run's, or the same for a workflow
	effectKind     = "effect"     // what a step did to the world; id = "<task id>.<step>"
	undoKind       = "undo"       // an operation that a rollback could not undo; id = within the rollback's
	resourceKind   = "resource"   // inventory; id = "<provider>/<kind>/<name>"
	checkpointKind = "checkpoint"
	holdKind       = "hold" // one: how far the effects that no checkpoint holds back any more are removed
)

// Schema returns the kinds that the engine stores.
func Schema() []store.Kind {
	return []store.Kind{
		{Name: runKind, Indexes: []string{"active", "ended", "kind", "status"}, Counted: []string{"kind", "status"}},
		{Name: definitionKind},
		{Name: taskKind, Indexes: []string{"operation", "status"}, Counted: []string{"status"}},
		{Name: effectKind, Indexes: []string{"stands", "target"}, Counted: []string{"stands"}},
		{Name: undoKind},
		{Name: resourceKind, Summed: true},
		{Name: checkpointKind, Indexes: []string{"era", "made"}, Counted: []string{"made"}},
		{Name: holdKind},
	}
}

func headers() store.Table[dag.Header] {
	return store.Table[dag.Header]{Kind: runKind, ID: func(h dag.Header) string { return h.ID }, Index: func(h dag.Header) []store.IndexKey { return headerIndex(&h) }}
}

func headerIndex(h *dag.Header) []store.IndexKey {
	keys := append(make([]store.IndexKey, 0, 3), store.IndexKey{Name: "kind", Value: string(h.Kind)}, store.IndexKey{Name: "status", Value: runStatus(h.Kind, h.Status())})
	if h.State.Terminal() {
		return append(keys, store.IndexKey{Name: "ended", Value: stampOf(endOf(h))})
	}
	return append(keys, store.IndexKey{Name: "active", Value: "yes"})
}

// endOf returns when a run ended.
func endOf(h *dag.Header) time.Time {
	if h.CompletedAt == nil {
		return h.UpdatedAt
	}
	return *h.CompletedAt
}

// stampOf orders times as text.
func stampOf(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func runStatus(k dag.Kind, s dag.Status) string { return string(k) + "/" + string(s) }

func tasks() store.Table[dag.Task] {
	return store.Table[dag.Task]{Kind: taskKind, ID: func(t dag.Task) string { return t.ID }, Index: func(t dag.Task) []store.IndexKey { return taskIndex(&t) }}
}

func taskIndex(t *dag.Task) []store.IndexKey {
	keys := append(make([]store.IndexKey, 0, 2), store.IndexKey{Name: "status", Value: string(t.Status())})
	if t.Batch {
		keys = append(keys, store.IndexKey{Name: "operation", Value: t.Operation})
	}
	return keys
}

// taskOf returns the task of a row. One whose effects stand says since which commit.
func taskOf(row store.Row[dag.Task]) dag.Task {
	t := row.Value
	if t.AppliedRev == 0 && t.HasEffects() {
		t.AppliedRev = row.Rev
	}
	return t
}

// Resource is a row of the inventory.
type Resource struct {
	Facts    map[string]string `json:"facts,omitempty"`
	Kind     string            `json:"kind"`
	Name     string            `json:"name"`
	Provider string            `json:"provider"`
	Updated  time.Time         `json:"updated"`
}

func resources() store.Table[Resource] {
	return store.Table[Resource]{Kind: resourceKind, ID: func(r Resource) string { return r.Provider + "/" + r.Kind + "/" + r.Name }}
}

// slice is a part of something too large for one document.
type slice[T any] struct {
	ID    string `json:"id"`
	Items []T    `json:"items"`
}

func parts[T any](kind string) store.Table[slice[T]] {
	return store.Table[slice[T]]{Kind: kind, ID: func(s slice[T]) string { return s.ID }}
}

func sliceID(owner string, n int) string { return fmt.Sprintf("%s.%d", owner, n) }
