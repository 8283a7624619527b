// Package hook says what the orchestrator's events mean to receivers of webhooks, who may read
// them, and what the stream says of webhooks themselves.
//
// It owns no delivery (package webhook) and no event (package event). The one rule: an event about
// a webhook is sent to no webhook, so that a receiver that fails makes no work for itself.
package hook

import (
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/orchestrator/internal/rights"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/webhook"
)

// Config returns what is the orchestrator's own of the configuration of webhooks; Sealer, Log
// and Traces are missing.
func Config(db *feed.Hub, book rights.Book, now func() time.Time) webhook.Config {
	return webhook.Config{
		DB: db, Noun: "webhooks", Stream: run.EventStream, Agent: "provisioning-platform-orchestrator", Now: now, Render: render,
		SpanOf: spanOf(db),
		Announce: func(tx *store.Tx, n webhook.News) error {
			announce(tx, n, now())
			return nil
		},
		Reads: reads,
		Allowed: func(ctx context.Context, maker webhook.Maker, m webhook.Message) (string, error) {
			why, err := book.Token(ctx, maker.Token, now())
			for _, typ := range reads(m.Event) {
				if err == nil && why == "" {
					why, err = book.Reads(ctx, maker.ID, typ, now())
				}
			}
			return why, err
		},
	}
}

// reads returns the types of the resources that an event is about.
func reads(name string) []string { return []string{event.Resource(event.HookCategory(name))} }

func render(entry []byte) (webhook.Message, bool) {
	h, ok := event.HookOf(entry)
	return webhook.Message{Event: h.Name, At: h.Time, Data: h.Data}, ok
}

// announce appends the event that says what the service did to a webhook by itself. What somebody
// did stands in the audit log.
func announce(tx *store.Tx, n webhook.News, now time.Time) {
	e := event.Event{Time: now, Webhook: n.Endpoint, Error: n.Reason}
	switch n.Occurrence {
	case webhook.Halted:
		e.Type, e.Status = event.WebhookPaused, "paused"
	case webhook.GaveUp:
		e.Type, e.Status, e.Delivery, e.Name = event.WebhookDeadLetter, "dead", n.Delivery, n.Event
	default:
		return
	}
	var w canonical.Writer
	e.Write(&w)
	tx.Append(run.EventStream, slices.Clone(w.Body().Bytes()))
}
