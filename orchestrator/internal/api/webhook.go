package api

import (
	"context"
	"net/http"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/webhook"
)

func (a *API) webhookRoutes() []web.Route {
	read, update := web.Allow("read", "webhooks"), web.Allow("update", "webhooks")
	full := []fault.Kind{fault.Conflict}
	return []web.Route{
		{Method: "GET", Path: "/webhooks", Op: "listWebhooks", Summary: "List webhooks, newest first", Permission: read,
			Handle: web.To(a.listWebhooks)},
		{Method: "POST", Path: "/webhooks", Op: "createWebhook", Summary: "Send events to a URL from now on", Status: http.StatusCreated,
			Doc: "The answer shows the secret, once. The webhook belongs to its maker: it is paused when he may not read what it would " +
				"be sent.", Refuses: full, Permission: web.Allow("create", "webhooks"), Audit: "webhook.create", ShowsSecret: true,
			Handle: web.To(a.createWebhook)},
		{Method: "GET", Path: "/webhooks/:id", Op: "getWebhook", Summary: "Show a webhook and what it will never be sent", Permission: read,
			Handle: web.To(a.getWebhook)},
		{Method: "PUT", Path: "/webhooks/:id", Op: "updateWebhook", Summary: "Change a webhook's URL, events or description",
			Doc: "What is left out stays. The webhook belongs to whoever changed it last.", Refuses: full, Permission: update,
			Audit: "webhook.update", Handle: web.To(a.updateWebhook)},
		{Method: "DELETE", Path: "/webhooks/:id", Op: "deleteWebhook", Summary: "Delete a webhook with its deliveries", Refuses: full,
			Permission: web.Allow("delete", "webhooks"), Audit: "webhook.delete", Handle: web.Do("Webhook deleted", a.deleteWebhook)},
		{Method: "POST", Path: "/webhooks/:id/pause", Op: "pauseWebhook", Summary: "Stop sending; what happens meanwhile waits",
			Permission: update, Audit: "webhook.pause", Handle: web.Do("Webhook paused", a.pauseWebhook)},
		{Method: "POST", Path: "/webhooks/:id/resume", Op: "resumeWebhook", Summary: "Go on sending where it was paused", Refuses: full,
			Permission: update, Audit: "webhook.resume", Handle: web.Do("Webhook resumed", a.resumeWebhook)},
		{Method: "POST", Path: "/webhooks/:id/rotate", Op: "rotateWebhookSecret",
			Summary: "Give a webhook a new secret; the one before stays valid for 24 hours",
			Doc:     "The answer shows the new secret, once. Until the old one ends, webhook-signature holds a signature of both.",
			Refuses: full, Permission: update, Audit: "webhook.rotate", ShowsSecret: true, Handle: web.To(a.rotateWebhook)},
		{Method: "POST", Path: "/webhooks/:id/test", Op: "testWebhook", Summary: "Send the event webhook.test",
			Doc: "The answer is the delivery; its view shows what came of it.", Status: http.StatusAccepted, Refuses: full,
			Permission: update, Audit: "webhook.test", Handle: web.To(a.testWebhook)},
		{Method: "POST", Path: "/webhooks/:id/redeliver", Op: "redeliverRange", Summary: "Send a range of events again",
			Doc: "Deliveries that ended keep their ids. Events that it was never sent are sent too, also those from before it was made. " +
				"A range has at most 1000 sequences.", Status: http.StatusAccepted, Refuses: []fault.Kind{fault.Conflict, fault.Gone},
			Permission: update, Audit: "webhook.redeliver", Handle: web.To(a.redeliverRange)},
		{Method: "GET", Path: "/webhooks/:id/deliveries", Op: "listDeliveries", Summary: "List the deliveries of a webhook, newest first",
			Doc: "The newest 1000 that were delivered and the newest 1000 that were given up are kept.", Permission: read,
			Handle: web.To(a.listDeliveries)},
		{Method: "GET", Path: "/webhooks/:id/deliveries/:delivery", Op: "getDelivery",
			Summary: "Show a delivery with its attempts and what is sent", Permission: read, Handle: web.To(a.getDelivery)},
		{Method: "POST", Path: "/webhooks/:id/deliveries/:delivery/redeliver", Op: "redeliver",
			Summary: "Send a delivery again under its id", Status: http.StatusAccepted, Refuses: full, Permission: update,
			Audit: "webhook.redeliver", Handle: web.To(a.redeliver)},
	}
}

// enabled refuses what would be sent while nothing is.
func (a *API) enabled() error {
	if a.WebhooksEnabled {
		return nil
	}
	return fault.New(fault.Conflict, "webhook.disabled",
		"webhooks are switched off here: set enabled = true in [webhooks] of the orchestrator's configuration")
}

type webhookView struct {
	ID          string            `json:"id" doc:"id of the webhook" example:"01997b1c-0000-7000-8000-000000000001"`
	URL         string            `json:"url" doc:"where it is sent to" example:"https://receiver.example/provisioning"`
	Events      []string          `json:"events" doc:"what is sent" example:"[\"task.failed\",\"batch.completed\"]"`
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

func (a *API) listWebhooks(ctx context.Context, in listIn) (web.Page[webhookView], error) {
	w, err := webhook.Endpoints.Window(ctx, a.Engine.DB, in.Place(), store.Query{})
	return web.PageOf(w, viewWebhook), err
}

type createWebhookIn struct {
	URL         string      `json:"url" required:"true" max:"2048" doc:"absolute, with http or https; private addresses only as [webhooks] allow says" example:"https://receiver.example/provisioning"`
	Events      []string    `json:"events" required:"true" max:"100" doc:"names of events" example:"[\"task.failed\",\"batch.completed\"]"`
	Description string      `json:"description" max:"4096" form:"free" doc:"what it is for" example:"pager of the night shift"`
	Secret      secret.Text `json:"secret" max:"256" doc:"whsec_ and the base64 of 24 to 64 bytes; a good one is made when it is left out" example:"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`
}

func (a *API) createWebhook(ctx context.Context, in createWebhookIn) (webhookSecretView, error) {
	if err := a.enabled(); err != nil {
		return webhookSecretView{}, err
	}
	made := webhookSecretView{ID: web.NewID(ctx)} // without the secret, of which a key keeps nothing
	web.Answering(ctx, made)
	_, s, err := a.Webhooks.Create(ctx, made.ID, web.CallerOf(ctx).ID(),
		webhook.Input{URL: &in.URL, Events: in.Events, Description: &in.Description, Secret: in.Secret})
	if err != nil {
		return webhookSecretView{}, err
	}
	made.Secret = s.Reveal()
	return made, nil
}

func (a *API) getWebhook(ctx context.Context, in oneID) (webhookView, error) {
	e, err := a.Webhooks.Get(ctx, id.Canonical(in.ID))
	if err != nil {
		return webhookView{}, err
	}
	v := viewWebhook(e)
	lost, err := a.Webhooks.Lost(ctx, e.ID)
	for _, l := range lost {
		v.Lost = append(v.Lost, viewLost(l))
	}
	return v, err
}

func viewLost(l feed.DeadLetter) lostView { return lostView{From: l.From, To: l.To, At: l.At} }

type updateWebhookIn struct {
	oneID
	URL         *string  `json:"url" max:"2048" doc:"where it is sent to" example:"https://receiver.example/provisioning"`
	Events      []string `json:"events" max:"100" doc:"what is sent" example:"[\"task.failed\",\"batch.completed\"]"`
	Description *string  `json:"description" max:"4096" form:"free" doc:"what it is for" example:"pager of the night shift"`
}

func (a *API) updateWebhook(ctx context.Context, in updateWebhookIn) (v webhookView, err error) {
	before, err := a.getWebhook(ctx, in.oneID)
	if err != nil {
		return v, err
	}
	err = a.Webhooks.Update(ctx, before.ID, web.CallerOf(ctx).ID(),
		webhook.Input{URL: in.URL, Events: in.Events, Description: in.Description}, func(e webhook.Endpoint) {
			v = viewWebhook(e)
			v.Lost = before.Lost
			web.Answering(ctx, v)
		})
	return v, err
}

func (a *API) deleteWebhook(ctx context.Context, in oneID) error {
	return a.Webhooks.Delete(ctx, id.Canonical(in.ID))
}

type pauseWebhookIn struct {
	oneID
	Reason string `json:"reason" max:"256" form:"free" doc:"why, for those who look at it later" example:"the receiver moves"`
}

func (a *API) pauseWebhook(ctx context.Context, in pauseWebhookIn) error {
	return a.Webhooks.Pause(ctx, id.Canonical(in.ID), in.Reason)
}

func (a *API) resumeWebhook(ctx context.Context, in oneID) error {
	if err := a.enabled(); err != nil {
		return err
	}
	return a.Webhooks.Resume(ctx, id.Canonical(in.ID))
}

type rotateWebhookIn struct {
	oneID
	Secret secret.Text `json:"secret" max:"256" doc:"whsec_ and the base64 of 24 to 64 bytes; a good one is made when it is left out" example:"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`
}

func (a *API) rotateWebhook(ctx context.Context, in rotateWebhookIn) (webhookSecretView, error) {
	rotated := webhookSecretView{ID: id.Canonical(in.ID)}
	web.Answering(ctx, rotated)
	s, err := a.Webhooks.Rotate(ctx, rotated.ID, web.CallerOf(ctx).ID(), in.Secret)
	if err != nil {
		return webhookSecretView{}, err
	}
	rotated.Secret = s.Reveal()
	return rotated, nil
}

type deliveryView struct {
	ID        string        `json:"id" doc:"the same in all repetitions, as the header webhook-id has it" example:"01997b1c-0000-8000-8000-000000000001"`
	Event     string        `json:"event" doc:"name of the event" example:"task.failed"`
	Sequence  uint64        `json:"sequence" doc:"of the event; of a test the newest one when it was made" example:"7"`
	Status    webhook.Stage `json:"status" enum:"pending,delivered,dead" doc:"dead means given up"`
	Cause     string        `json:"cause,omitempty" doc:"why it was given up" example:"the receiver refused it with status 404"`
	Tries     int           `json:"tries" doc:"attempts since it was queued"`
	CreatedAt time.Time     `json:"created_at" doc:"when the event happened"`
	NextTry   *time.Time    `json:"next_try,omitempty" doc:"when a pending one is tried" rare:"true"`
	Attempts  []attemptView `json:"attempts" doc:"the newest 20"`
	Payload   string        `json:"payload,omitempty" doc:"the body without its signature; in the view of one delivery only" example:"{\"event\":\"task.failed\"}"`
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

// answering returns the function that keeps the view of a delivery in v, and answers with it.
func answering(ctx context.Context, v *deliveryView) func(webhook.Delivery) {
	return func(d webhook.Delivery) {
		*v = viewDelivery(d)
		web.Answering(ctx, *v)
	}
}

func (a *API) testWebhook(ctx context.Context, in oneID) (deliveryView, error) {
	if err := a.enabled(); err != nil {
		return deliveryView{}, err
	}
	var v deliveryView
	err := a.Webhooks.Test(ctx, id.Canonical(in.ID), answering(ctx, &v))
	return v, err
}

type listDeliveriesIn struct {
	web.Paging
	oneID
	Status string `query:"status" enum:"pending,delivered,dead" doc:"only deliveries with this status"`
}

func (a *API) listDeliveries(ctx context.Context, in listDeliveriesIn) (web.Page[deliveryView], error) {
	w, err := a.Webhooks.Window(ctx, id.Canonical(in.ID), webhook.Stage(in.Status), in.Place())
	return web.PageOf(w, viewDelivery), err
}

type oneDelivery struct {
	oneID
	Delivery string `path:"delivery" doc:"id of the delivery" example:"01997b1c-0000-8000-8000-000000000001"`
}

// Resources names the webhook: who may see it may see its deliveries.
func (in oneDelivery) Resources() []authz.Resource { return []authz.Resource{{Name: in.ID}} }

func (a *API) getDelivery(ctx context.Context, in oneDelivery) (deliveryView, error) {
	d, err := a.Webhooks.Delivery(ctx, id.Canonical(in.ID), id.Canonical(in.Delivery))
	v := viewDelivery(d)
	v.Payload = d.Payload
	return v, err
}

func (a *API) redeliver(ctx context.Context, in oneDelivery) (deliveryView, error) {
	if err := a.enabled(); err != nil {
		return deliveryView{}, err
	}
	var v deliveryView
	err := a.Webhooks.Redeliver(ctx, id.Canonical(in.ID), id.Canonical(in.Delivery), answering(ctx, &v))
	return v, err
}

type redeliverRangeIn struct {
	oneID
	From     int64 `json:"from" required:"true" min:"1" doc:"sequence of the first event" example:"1"`
	To       int64 `json:"to" required:"true" min:"1" doc:"sequence of the last event" example:"100"`
	DeadOnly bool  `json:"dead_only" doc:"only deliveries that were given up"`
}

type requeuedView struct {
	Queued  int `json:"queued" doc:"deliveries that will be sent" example:"3"`
	NotKept int `json:"not_kept" doc:"events of the range that were pruned"`
}

func (a *API) redeliverRange(ctx context.Context, in redeliverRangeIn) (requeuedView, error) {
	if err := a.enabled(); err != nil {
		return requeuedView{}, err
	}
	var v requeuedView
	err := a.Webhooks.RedeliverRange(ctx, id.Canonical(in.ID),
		webhook.Range{From: uint64(in.From), To: uint64(in.To), DeadOnly: in.DeadOnly}, func(r webhook.Requeued) {
			v = requeuedView{Queued: r.Queued, NotKept: r.NotKept}
			web.Answering(ctx, v)
		})
	return v, err
}
