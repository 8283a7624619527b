package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/provisioning-platform/platform/shared/secret"
)

// Webhook is a webhook as the API shows it; Lost is set in the single view only.
type Webhook struct {
	ID          string     `json:"id"`
	URL         string     `json:"url"`
	Events      []string   `json:"events"`
	Description string     `json:"description"`
	Status      string     `json:"status"`
	Reason      string     `json:"reason,omitempty"`
	PausedAt    *time.Time `json:"paused_at,omitempty"`
	Owner       string     `json:"owner"`
	Secrets     int        `json:"secrets"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
	Lost        []Lost     `json:"lost,omitempty"`
}

// Lost is a range of events that were pruned before they came to a webhook.
type Lost struct {
	From uint64    `json:"from"`
	To   uint64    `json:"to"`
	At   time.Time `json:"at"`
}

// WebhookInput is the body that makes or changes a webhook; of a change what is nil stays.
type WebhookInput struct {
	URL         *string
	Events      []string
	Description *string
	Secret      secret.Text // of a new webhook; empty: the service makes one
}

func (in WebhookInput) body() map[string]any {
	b := map[string]any{}
	if in.URL != nil {
		b["url"] = *in.URL
	}
	if in.Events != nil {
		b["events"] = in.Events
	}
	if in.Description != nil {
		b["description"] = *in.Description
	}
	if !in.Secret.Empty() {
		b["secret"] = in.Secret.Reveal()
	}
	return b
}

// WebhookSecret is the only answer that shows a secret.
type WebhookSecret struct {
	ID     string
	Secret secret.Text
}

// UnmarshalJSON reads the answer.
func (s *WebhookSecret) UnmarshalJSON(text []byte) error {
	var in struct {
		ID     string      `json:"id"`
		Secret secret.Text `json:"secret"`
	}
	err := json.Unmarshal(text, &in)
	s.ID, s.Secret = in.ID, in.Secret
	return err
}

func webhook(id string) string { return "/webhooks/" + url.PathEscape(id) }

// Webhooks lists webhooks, newest first.
func (c *Client) Webhooks(ctx context.Context, p Page) (List[Webhook], error) {
	return list[Webhook](ctx, c, "/webhooks", url.Values{}, p)
}

// Webhook returns one webhook.
func (c *Client) Webhook(ctx context.Context, id string) (Webhook, error) {
	var w Webhook
	_, err := c.do(ctx, get(webhook(id)), &w)
	return w, err
}

// CreateWebhook makes a webhook and returns its secret, which nothing shows again.
func (c *Client) CreateWebhook(ctx context.Context, in WebhookInput, idempotencyKey string) (WebhookSecret, error) {
	var s WebhookSecret
	_, err := c.do(ctx, keyed(post("/webhooks", in.body()), idempotencyKey), &s)
	return s, err
}

// UpdateWebhook changes a webhook.
func (c *Client) UpdateWebhook(ctx context.Context, id string, in WebhookInput) (Webhook, error) {
	var w Webhook
	_, err := c.do(ctx, call{method: http.MethodPut, path: webhook(id), body: in.body()}, &w)
	return w, err
}

// DeleteWebhook removes a webhook with its deliveries.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: webhook(id)}, nil)
	return err
}

// PauseWebhook stops sending; reason may be empty.
func (c *Client) PauseWebhook(ctx context.Context, id, reason string) error {
	_, err := c.do(ctx, post(webhook(id)+"/pause", map[string]any{"reason": reason}), nil)
	return err
}

// ResumeWebhook goes on sending.
func (c *Client) ResumeWebhook(ctx context.Context, id string) error {
	_, err := c.do(ctx, post(webhook(id)+"/resume", nil), nil)
	return err
}

// RotateWebhook gives a webhook a new secret and returns it; an empty one is made by the service.
func (c *Client) RotateWebhook(ctx context.Context, id string, given secret.Text) (WebhookSecret, error) {
	var s WebhookSecret
	_, err := c.do(ctx, post(webhook(id)+"/rotate", WebhookInput{Secret: given}.body()), &s)
	return s, err
}

// Delivery is an event on its way to a webhook; Payload is set in the single view only.
type Delivery struct {
	ID        string            `json:"id"`
	Event     string            `json:"event"`
	Sequence  uint64            `json:"sequence"`
	Status    string            `json:"status"`
	Cause     string            `json:"cause,omitempty"`
	Tries     int               `json:"tries"`
	CreatedAt time.Time         `json:"created_at"`
	NextTry   *time.Time        `json:"next_try,omitempty"`
	Attempts  []DeliveryAttempt `json:"attempts"`
	Payload   string            `json:"payload,omitempty"`
}

// DeliveryAttempt is one request of a delivery.
type DeliveryAttempt struct {
	At         time.Time `json:"at"`
	Status     int       `json:"status,omitempty"`
	Error      string    `json:"error,omitempty"`
	DurationMS int64     `json:"duration_ms"`
}

// TestWebhook queues the event webhook.test and returns its delivery.
func (c *Client) TestWebhook(ctx context.Context, id string) (Delivery, error) {
	var d Delivery
	_, err := c.do(ctx, post(webhook(id)+"/test", nil), &d)
	return d, err
}

// Deliveries lists the deliveries of a webhook, newest first. status is one of pending, delivered,
// dead, or empty.
func (c *Client) Deliveries(ctx context.Context, id, status string, p Page) (List[Delivery], error) {
	return list[Delivery](ctx, c, webhook(id)+"/deliveries", withStatus(status), p)
}

// Delivery returns one delivery of a webhook.
func (c *Client) Delivery(ctx context.Context, id, delivery string) (Delivery, error) {
	var d Delivery
	_, err := c.do(ctx, get(webhook(id)+"/deliveries/"+url.PathEscape(delivery)), &d)
	return d, err
}

// Redeliver sends a delivery again.
func (c *Client) Redeliver(ctx context.Context, id, delivery string) (Delivery, error) {
	var d Delivery
	_, err := c.do(ctx, post(webhook(id)+"/deliveries/"+url.PathEscape(delivery)+"/redeliver", nil), &d)
	return d, err
}

// Requeued says what became of a range.
type Requeued struct {
	Queued  int `json:"queued"`
	NotKept int `json:"not_kept"`
}

// RedeliverRange sends what a webhook wants of the events from one sequence to another; with
// deadOnly what was given up.
func (c *Client) RedeliverRange(ctx context.Context, id string, from, to uint64, deadOnly bool) (Requeued, error) {
	var r Requeued
	_, err := c.do(ctx, post(webhook(id)+"/redeliver", map[string]any{"from": from, "to": to, "dead_only": deadOnly}), &r)
	return r, err
}
