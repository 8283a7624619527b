package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// noted is a store that counts what stands beside the document of a key in its commits.
type noted struct {
	store.DB
	key store.Key

	mu     sync.Mutex
	beside []string // guarded by mu: "N documents, N entries", one a commit
}

func (n *noted) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	if slices.ContainsFunc(b.Writes, func(w store.Write) bool { return w.Key == n.key }) {
		entries := 0
		for _, a := range b.Appends {
			if a.Stream == audit.Stream {
				entries++
			}
		}
		n.mu.Lock()
		n.beside = append(n.beside, fmt.Sprintf("%d documents, %d entries", len(b.Writes)-1, entries))
		n.mu.Unlock()
	}
	return n.DB.Commit(ctx, b)
}

// TestSubmit_itsCommitSettlesTheKey: a crash between the commit of a run and that of the request's
// Idempotency-Key left a run whose repeat was another one.
func TestSubmit_itsCommitSettlesTheKey(t *testing.T) {
	kinds := store.Schema{Service: "orchestrator", Kinds: append(run.Schema(), idempotency.Kinds()...)}
	db := &noted{DB: memstore.New(kinds), key: store.Key{Kind: "idempotency", ID: "k"}}
	e := start(t, db, newWorld())
	told := ""
	keyed := func() context.Context {
		ctx := scene()
		audit.ContextOf(ctx).Settle = func(string) ([]store.Write, error) {
			return []store.Write{{Key: db.key, Expect: store.Any(), Index: []store.IndexKey{{Name: "expires", Value: "x"}}, Body: []byte(`{"told":"` + told + `"}`)}}, nil
		}
		return ctx
	}
	sub := batch(servers("a", nil, "x"), servers("b", nil, "y"))
	sub.Accept = func(s engine.Submitted) { told = s.Tasks[0].Operation + s.Tasks[1].Operation }
	if _, err := e.Submit(keyed(), sub); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Checkpoints.Take(keyed(), run.Checkpoint{ID: "01990000-0000-7000-8000-000000000001", Name: "c"}); err != nil {
		t.Fatal(err)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if want := []string{"4 documents, 1 entries", "1 documents, 1 entries"}; !slices.Equal(db.beside, want) || told != "ab" {
		t.Errorf("the key is committed beside %q, want %q; the batch was told as %q", db.beside, want, told)
	}
}
