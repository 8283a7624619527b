package engine_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

func TestRollback_anOperationThatIsCalledLikeAnIDIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		e := start(t, memory(), w)
		like := "01997B1C-0000-7000-8000-00000000000A"
		sub := e.submit(batch(servers(like, nil, "a1"), servers("b", nil, "b1"), servers("c", nil, "c1")))
		e.ended(sub.Run.ID)
		for _, ref := range []string{like, strings.ToUpper(sub.Tasks[1].ID), strings.ToUpper(sub.Run.ID) + "/c"} {
			if got, err := e.Rollback(scene(), rollback.Request{Operations: []string{ref}}); err != nil || got.Executed != 1 {
				t.Errorf("%s: %+v, %v", ref, got, err)
			}
		}
		for _, ref := range []string{strings.ToLower(like), id.New(), sub.Run.ID + "/B", sub.Run.ID + "/", id.New() + "/b", "/b", "x/b"} {
			if _, err := e.Rollback(scene(), rollback.Request{Operations: []string{ref}}); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", ref, err)
			}
		}
	})
}

// reading counts the documents that lists by operation id return.
type reading struct {
	store.DB
	docs atomic.Int64
}

func (r *reading) List(ctx context.Context, q store.Query) (store.Page, error) {
	page, err := r.DB.List(ctx, q)
	if q.Index == "operation" {
		r.docs.Add(int64(len(page.Docs)))
	}
	return page, err
}

// TestRollback_findsAnOperationWithoutReadingItsHistory gives 5,000 older and newer batches an
// operation of the same id.
func TestRollback_findsAnOperationWithoutReadingItsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &reading{DB: memory()}
		e := start(t, db, newWorld())
		history := func() {
			now := time.Now().UTC()
			var b store.Batch
			for range 2500 {
				run := id.New()
				body, err := canonical.Make(dag.Task{Batch: true, CompletedAt: &now, CreatedAt: now, ID: id.Within(run, 0), Operation: "x",
					Run: run, State: dag.Failed})
				if err != nil {
					t.Fatal(err)
				}
				b.Writes = append(b.Writes, store.Write{Key: store.Key{Kind: "task", ID: id.Within(run, 0)}, Expect: store.Absent(),
					Body:  body,
					Index: []store.IndexKey{{Name: "operation", Value: "x"}, {Name: "status", Value: "Failed"}}})
			}
			if _, err := db.Commit(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		}
		history()
		sub := e.submit(batch(servers("w", nil, "w1"), servers("x", nil, "x1")))
		e.ended(sub.Run.ID)
		history()
		if _, err := e.Rollback(scene(), rollback.Request{Operations: []string{"x"}}); fault.CodeOf(err) != "rollback.ambiguous" ||
			db.docs.Load() > 2000 {
			t.Errorf("%d documents read: %v", db.docs.Load(), err)
		}
		db.docs.Store(0)
		if got, err := e.Rollback(scene(), rollback.Request{Operations: []string{sub.Run.ID + "/x"}}); err != nil || got.Executed != 1 ||
			db.docs.Load() > 2 {
			t.Errorf("%d documents read: %+v %v", db.docs.Load(), got, err)
		}
	})
}
