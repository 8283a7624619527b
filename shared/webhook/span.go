package webhook

import (
	"context"
	"log/slog"
	"time"

	"github.com/provisioning-platform/platform/shared/trace"
)

// spanOf returns an attempt's span, whose traceparent the receiver gets, and its
// parent.
func (w *Webhooks) spanOf(ctx context.Context, d *Delivery, start time.Time) (own, parent trace.SpanContext) {
	if w.c.Traces == nil || w.c.SpanOf == nil {
		return own, parent
	}
	parent = w.c.SpanOf(ctx, Message{Event: d.Event, At: d.At, Data: dataOf(d.Payload)})
	return parent.Child(d.ID + start.String()), parent
}

// record records the span of an attempt. It does not name the URL, which may hold a secret.
func (w *Webhooks) record(own, parent trace.SpanContext, d *Delivery, a *attempted, start time.Time) {
	if own.None() {
		return
	}
	failure := ""
	if a.outcome != received {
		failure = "unanswered"
		if a.Status != 0 {
			failure = "refused"
		}
	}
	w.c.Traces.Record(trace.EndedSpan{
		Own: own, Parent: parent, Kind: trace.Client, Name: "webhook " + d.Event, Begin: start, End: w.c.Now(), Failed: failure,
		Attributes: []slog.Attr{slog.String("webhook.id", d.Endpoint), slog.String("webhook.delivery", d.ID),
			slog.Int("http.response.status_code", a.Status)},
	})
}
