package hookapi

import (
	"time"

	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/webhook"
)

type webhookView struct {
	ID          string            `json:"id" doc:"id of the webhook" example:"01997b1c-0000-7000-8000-000000000001"`
	URL         string            `json:"url" doc:"where it is sent to" example:"https://receiver.example/provisioning"`
	Events      []string          `json:"events" doc:"what is sent"`
	Description string            `json:"description" doc:"what it is for" example:"pager of the night shift"`
	Status      webhook.Condition `json:"status" enum:"active,paused" doc:"whether it is sent to"`
	Reason      string            `json:"reason,omitempty" doc:"why it is paused" example:"the receiver answered 410: it is gone for good"`
	PausedAt    *time.Time        `json:"paused_at,omitempty" doc:"since when it is paused"`
	Owner       string            `json:"owner" doc:"the account whose rights decide what is sent; service:config for one of the configuration" example:"01997b1c-0000-7000-8000-000000000002"`
	Secrets     int               `json:"secrets" doc:"secrets that are stored: two while the one before the newest is valid; 0 for one of the configuration"`
	CreatedAt   time.Time         `json:"created_at" doc:"when it was made"`
	UpdatedAt   time.Time         `json:"updated_at" doc:"when it was changed"`
	Lost        []lostView        `json:"lost,omitempty" doc:"events that were pruned before they came to it; in the view of one webhook only" rare:"true"`
}

type lostView struct {
	From uint64    `json:"from" doc:"sequence of the first event"`
	To   uint64    `json:"to" doc:"sequence of the last event"`
	At   time.Time `json:"at" doc:"when they were pruned"`
}

func viewWebhook(e webhook.Endpoint) webhookView {
	return webhookView{ID: e.ID, URL: e.URL, Events: e.Events, Description: e.Description, Status: e.Condition, Reason: e.Reason,
		PausedAt: e.PausedAt,
		Owner:    e.Owner, Secrets: len(e.Secrets), CreatedAt: e.Created, UpdatedAt: e.Updated}
}

// webhookSecretView shows a secret; no other answer does.
type webhookSecretView struct {
	ID     string `json:"id" doc:"id of the webhook" example:"01997b1c-0000-7000-8000-000000000001"`
	Secret string `json:"secret" doc:"verifies signatures; it is never shown again" example:"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`
}

// Object returns the id of the webhook, for the record of an Idempotency-Key.
func (v webhookSecretView) Object() string { return v.ID }

type deliveryView struct {
	ID        string        `json:"id" doc:"the same in all repetitions, as the header webhook-id has it" example:"01997b1c-0000-8000-8000-000000000001"`
	Event     string        `json:"event" doc:"name of the event"`
	Sequence  uint64        `json:"sequence" doc:"of the event; of a test the newest one when it was made" example:"7"`
	Status    webhook.Stage `json:"status" enum:"pending,delivered,dead" doc:"dead means given up"`
	Cause     string        `json:"cause,omitempty" doc:"why it was given up" example:"the receiver refused it with status 404"`
	Tries     int           `json:"tries" doc:"attempts since it was queued"`
	CreatedAt time.Time     `json:"created_at" doc:"when the event happened"`
	NextTry   *time.Time    `json:"next_try,omitempty" doc:"when a pending one is tried" rare:"true"`
	Attempts  []attemptView `json:"attempts" doc:"the newest 20"`
	Payload   string        `json:"payload,omitempty" doc:"the body without its signature; in the view of one delivery only"`
}

type attemptView struct {
	At         time.Time `json:"at" doc:"when it was made"`
	Status     int       `json:"status,omitempty" doc:"status of the answer; absent when there was none" example:"200"`
	Error      string    `json:"error,omitempty" doc:"why there was no answer" example:"the receiver did not answer in time" rare:"true"`
	DurationMS int64     `json:"duration_ms" doc:"how long it took"`
}

func viewDelivery(d webhook.Delivery) deliveryView {
	v := deliveryView{ID: d.ID, Event: d.Event, Sequence: d.Seq, Status: d.Stage, Cause: d.Cause, Tries: d.Tries, CreatedAt: d.At,
		Attempts: []attemptView{}}
	if d.Stage == webhook.Pending {
		v.NextTry = &d.Next
	}
	for _, t := range d.Attempts {
		v.Attempts = append(v.Attempts, attemptView{At: t.At, Status: t.Status, Error: t.Error, DurationMS: t.Took})
	}
	return v
}

func viewLost(l feed.DeadLetter) lostView { return lostView{From: l.From, To: l.To, At: l.At} }
