package trace

import (
	"context"
	"log/slog"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/provisioning-platform/platform/shared/obs"
)

// exporter counts what the exporter of the SDK has sent, and tells the log when the collector is
// lost and when it is found again.
type exporter struct {
	sdktrace.SpanExporter
	log          *slog.Logger
	sent, failed func(spans int)
	lost         atomic.Bool
}

// ExportSpans sends spans.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	count := e.sent
	if err != nil {
		count = e.failed
	}
	if count != nil {
		count(len(spans))
	}
	switch was := e.lost.Swap(err != nil); {
	case err != nil && !was:
		e.log.Warn("traces: the collector takes no spans; what is recorded meanwhile is lost", "error", err)
	case err == nil && was:
		e.log.Info("traces: the collector takes spans again")
	}
	return err
}

// Meter registers how many spans were sent, in a metric whose name begins with prefix. It shows 0
// without a Tracer. Call it once, before anything is recorded.
func (t *Tracer) Meter(r *obs.Registry, prefix string) {
	spans := r.Counter(prefix+"_trace_spans_total", "Spans for the collector of traces, by whether it took them.", "result")
	spans.Add(0, "sent")
	spans.Add(0, "failed")
	if t != nil {
		t.exporter.sent = func(n int) { spans.Add(float64(n), "sent") }
		t.exporter.failed = func(n int) { spans.Add(float64(n), "failed") }
	}
}
