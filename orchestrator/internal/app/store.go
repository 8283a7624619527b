package app

import (
	"github.com/provisioning-platform/platform/orchestrator/internal/pulse"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/orchestrator/internal/trust"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
	"github.com/provisioning-platform/platform/shared/webhook"
)

// Schema is what the orchestrator stores.
func Schema() store.Schema {
	var kinds []store.Kind
	for _, k := range [][]store.Kind{audit.Kinds(), run.Schema(), feed.Kinds(), trust.Kinds(), retention.Kinds(), idempotency.Kinds(),
		webhook.Kinds(), pulse.Kinds()} {
		kinds = append(kinds, k...)
	}
	return store.Schema{Service: "orchestrator", Kinds: kinds}
}
