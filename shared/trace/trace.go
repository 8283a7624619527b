// Package trace sends spans to an OpenTelemetry collector, by OTLP over HTTP.
//
// It owns which span is which (SpanContext), the header that carries that (traceparent), and the
// sending. It does not own which work is a span and what its attributes are: whoever does the work
// says so.
// No attribute may hold a secret or a text of a request.
//
// The one rule: a span is recorded once, when it has ended, under ids that were known before. So
// the spans of a run are of one trace, whichever process ends them. Without an endpoint there is no
// Tracer: a nil one does nothing, and its callers pay for one comparison.
package trace

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/provisioning-platform/platform/shared/obs"
)

// Kind says which side of a call a span is.
type Kind uint8

// The kinds.
const (
	Internal Kind = iota
	Server        // answers a request
	Client        // waits for somebody else
)

// EndedSpan is one piece of work that has ended.
type EndedSpan struct {
	Own, Parent SpanContext // no Parent: the span is the root of its trace
	Kind        Kind
	Name        string // of few values: an id is an attribute
	Begin, End  time.Time
	Failed      string // why, in a word; empty when it did not
	Attributes  []slog.Attr
}

// Limits of what waits to be sent. Spans that find no room are dropped: nothing waits for a
// collector.
const (
	maxWaiting  = 8192
	sendEvery   = time.Second
	sendWithin  = 10 * time.Second
	flushWithin = 5 * time.Second
)

// stay keeps a collector from sending the headers, which may be secret, to somebody else.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Tracer sends spans. Make one with Open; nil sends nothing.
type Tracer struct {
	sample   float64
	exporter *exporter
	provider *sdktrace.TracerProvider
	tracer   oteltrace.Tracer
}

// Open returns the Tracer of a service; nil when no endpoint is set. It reads the file of headers
// and connects to nothing yet.
func Open(ctx context.Context, s Collector, service string, log *slog.Logger) (*Tracer, error) {
	if s.Endpoint == "" {
		return nil, nil
	}
	headers, err := s.headers()
	if err != nil {
		return nil, err
	}
	client, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(s.url()), otlptracehttp.WithHeaders(headers),
		otlptracehttp.WithHTTPClient(&http.Client{Timeout: sendWithin, CheckRedirect: stay}))
	if err != nil {
		return nil, err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {})) // the exporter tells the log, once
	t := &Tracer{sample: s.Sample, exporter: &exporter{SpanExporter: client, log: log}}
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(t.exporter, sdktrace.WithMaxQueueSize(maxWaiting), sdktrace.WithBatchTimeout(sendEvery)),
		sdktrace.WithIDGenerator(given{}), sdktrace.WithSampler(sdktrace.AlwaysSample()),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service),
			attribute.String("service.version", obs.Build()))),
	)
	t.tracer = t.provider.Tracer("provisioning-platform")
	return t, nil
}

// Run sends what is recorded until ctx ends, and then what is left.
func (t *Tracer) Run(ctx context.Context) error {
	<-ctx.Done()
	if t == nil {
		return nil
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
	defer cancel()
	_ = t.provider.Shutdown(last) // the exporter has told the log
	return nil
}

// Enter returns the span of a piece of work that begins here, and its parent. A good traceparent
// of whoever asked for it continues that trace, and says whether it is recorded; without one a new
// trace begins, of which the share Collector.Sample is recorded.
func (t *Tracer) Enter(traceparent string) (own, parent SpanContext) {
	if t == nil {
		return SpanContext{}, SpanContext{}
	}
	own = fresh(false)
	parent = Parse(traceparent)
	if parent.None() {
		// The low bits of a random id decide, as the SDK has it.
		own.sampled = float64(binary.BigEndian.Uint64(own.trace[8:])>>1) < t.sample*(1<<63)
		return own, parent
	}
	own.trace, own.sampled = parent.trace, parent.sampled
	return own, parent
}

// Record sends a span, unless its trace is not recorded. It never waits.
func (t *Tracer) Record(s EndedSpan) {
	if t == nil || !s.Own.sampled {
		return
	}
	ctx := With(context.Background(), s.Own)
	if !s.Parent.None() {
		ctx = oteltrace.ContextWithRemoteSpanContext(ctx, oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
			TraceID: s.Parent.trace, SpanID: s.Parent.span, TraceFlags: oteltrace.FlagsSampled, Remote: true,
		}))
	}
	_, span := t.tracer.Start(ctx, s.Name, oteltrace.WithTimestamp(s.Begin), oteltrace.WithSpanKind(kinds[s.Kind]),
		oteltrace.WithAttributes(attributes(s.Attributes)...))
	if s.Failed != "" {
		span.SetStatus(codes.Error, s.Failed)
	}
	span.End(oteltrace.WithTimestamp(s.End))
}

var kinds = map[Kind]oteltrace.SpanKind{
	Internal: oteltrace.SpanKindInternal, Server: oteltrace.SpanKindServer, Client: oteltrace.SpanKindClient,
}

func attributes(attrs []slog.Attr) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, len(attrs))
	for _, a := range attrs {
		switch a.Value.Kind() {
		case slog.KindInt64:
			out = append(out, attribute.Int64(a.Key, a.Value.Int64()))
		case slog.KindBool:
			out = append(out, attribute.Bool(a.Key, a.Value.Bool()))
		default:
			if text := a.Value.String(); text != "" {
				out = append(out, attribute.String(a.Key, text))
			}
		}
	}
	return out
}

// given gives a span the ids that stand in its context.
type given struct{}

// NewIDs returns the ids of a root.
func (given) NewIDs(ctx context.Context) (oteltrace.TraceID, oteltrace.SpanID) {
	p := At(ctx)
	return p.trace, p.span
}

// NewSpanID returns the id of a span below another.
func (given) NewSpanID(ctx context.Context, _ oteltrace.TraceID) oteltrace.SpanID {
	return At(ctx).span
}
