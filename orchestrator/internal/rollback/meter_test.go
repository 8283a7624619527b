package rollback_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// nothing is a site without providers.
type nothing struct{}

func (nothing) ProviderNames() []string { return nil }

func (nothing) Servers(context.Context, string) ([]dag.Resource, error) { return nil, nil }

// TestMeter_unverifiedFromRestoreToReconcile reads the metric of a process that restores, of one
// that begins afterwards, and of that one once it has reconciled.
func TestMeter_unverifiedFromRestoreToReconcile(t *testing.T) {
	t.Parallel()
	db := memstore.New(store.Schema{Service: "orchestrator", Kinds: run.Schema()})
	ctx := audit.WithContext(t.Context(), &audit.Context{Actor: audit.Actor{Sub: "u1", Username: "alice"}, Origin: "orchestrator"})
	begin := func() (*rollback.Checkpoints, func(string)) {
		s := &rollback.Checkpoints{DB: db, Eras: rollback.NewEras(500), Now: time.Now}
		r := obs.NewRegistry()
		s.Meter(r)
		if err := s.LoadVerification(ctx); err != nil {
			t.Fatal(err)
		}
		return s, func(want string) {
			t.Helper()
			w := httptest.NewRecorder()
			r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			if text := w.Body.String(); !strings.Contains(text, "\norchestrator_inventory_unverified "+want+"\n") {
				t.Errorf("want %s in\n%s", want, text)
			}
		}
	}
	s, shows := begin()
	shows("0")
	c, err := s.Take(ctx, run.Checkpoint{Name: "cut"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Restore(ctx, c.ID); err != nil {
		t.Fatal(err)
	}
	shows("1")
	s, shows = begin()
	shows("1")
	if _, err := s.Reconcile(ctx, nothing{}, func(rollback.Reconciled) {}); err != nil {
		t.Fatal(err)
	}
	shows("0")
}
