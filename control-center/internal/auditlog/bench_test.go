package auditlog_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/pebblestore"
)

// BenchmarkAdd takes in runs of entries like those of the engine: half intents, half their
// outcomes.
func BenchmarkAdd(b *testing.B) {
	db, err := pebblestore.Open(b.TempDir(), store.Schema{Service: "control_center", Kinds: auditlog.Kinds()},
		slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	x := &auditlog.Index{DB: db}
	const run = 500
	n, start := 0, time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)
	for b.Loop() {
		b.StopTimer()
		var bodies [][]byte
		for range run / 2 {
			for _, phase := range []audit.Phase{audit.Intent, audit.Outcome} {
				when := start.Add(time.Duration(n) * 100 * time.Microsecond)
				e := audit.Entry{Action: "server.create",
					Actor:    audit.Actor{Sub: "01997b1c-0000-7000-8000-000000000001", Username: "admin"},
					Decision: &audit.DecisionRecord{Allowed: true, Policy: 1, Rule: "role:admin"},
					Details: map[string]any{"attempt": 1, "decision": "01997b1c-0000-7000-8000-000000000002",
						"run": "01997b1c-0000-7000-8000-000000000004", "task": "01997b1c-0000-7000-8000-000000000003"},
					ID: at(when, n), OpID: fmt.Sprintf("01997b1c-0000-7000-8000-%012d", n/2), Origin: "orchestrator", Phase: phase,
					Resource: fmt.Sprintf("servers/many-0-%d-1", n/2), Result: audit.Success, Time: when, V: 1}
				body, err := e.Encode()
				if err != nil {
					b.Fatal(err)
				}
				bodies = append(bodies, body)
				n++
			}
		}
		b.StartTimer()
		if err := x.Add(context.Background(), "orchestrator", uint64(n-run), bodies); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/run, "µs/entry")
}
