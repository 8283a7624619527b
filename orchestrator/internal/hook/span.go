package hook

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/trace"
	"github.com/provisioning-platform/platform/shared/webhook"
)

// spanOf returns the span of the run or the task that a webhook tells of; none when the run is not
// traced, or is not kept any more.
func spanOf(db store.DB) func(context.Context, webhook.Message) trace.SpanContext {
	return func(ctx context.Context, m webhook.Message) trace.SpanContext {
		runID, taskID := event.RunOf(m.Data)
		if runID == "" {
			return trace.SpanContext{}
		}
		row, err := run.Headers().Get(ctx, db, runID)
		if err != nil || row.Rev == 0 {
			return trace.SpanContext{}
		}
		if taskID == "" {
			return engine.SpanOfRun(&row.Value)
		}
		return engine.SpanOfTask(&row.Value, taskID)
	}
}
