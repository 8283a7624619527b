// Package hookapi is the routes and views of webhooks over HTTP, the same for both services.
//
// It owns no endpoint and no delivery (package webhook). The one rule: no view but the answer that
// makes or rotates a secret shows one.
package hookapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/webhook"
)

// API serves the endpoints of a service and their deliveries. It is built as a literal.
type API struct {
	Hooks    *webhook.Webhooks
	DB       store.DB
	Examples [2]string // names of events, for the document
}

// Routes returns the routes below /webhooks. Who may use them is a matter of the noun that
// Hooks has for policies.
func (a *API) Routes() []web.Route {
	noun := a.Hooks.Noun()
	read, update := web.Allow("read", noun), web.Allow("update", noun)
	full := []fault.Kind{fault.Conflict}
	all := []web.Route{
		{Method: "GET", Path: "/webhooks", Op: "listWebhooks", Summary: "List webhooks, newest first", Permission: read,
			Handle: web.To(a.listWebhooks)},
		{Method: "POST", Path: "/webhooks", Op: "createWebhook", Summary: "Send events to a URL from now on", Status: http.StatusCreated,
			Doc: "The answer shows the secret, once. The webhook belongs to its maker: it is paused when he may not read what it would " +
				"be sent. " + tokenDoc, Refuses: full, Permission: web.Allow("create", noun), Audit: "webhook.create", ShowsSecret: true,
			Handle: web.To(a.createWebhook)},
		{Method: "GET", Path: "/webhooks/:id", Op: "getWebhook", Summary: "Show a webhook and what it will never be sent", Permission: read,
			Handle: web.To(a.getWebhook)},
		{Method: "PUT", Path: "/webhooks/:id", Op: "updateWebhook", Summary: "Change a webhook's URL, events or description",
			Doc: "What is left out stays. The webhook belongs to whoever changed it last. " + tokenDoc, Refuses: full, Permission: update,
			Audit: "webhook.update", Handle: web.To(a.updateWebhook)},
		{Method: "DELETE", Path: "/webhooks/:id", Op: "deleteWebhook", Summary: "Delete a webhook with its deliveries", Refuses: full,
			Permission: web.Allow("delete", noun), Audit: "webhook.delete", Handle: web.Do("Webhook deleted", a.deleteWebhook)},
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
	examples := map[string]string{"event": a.Examples[0], "events": `["` + strings.Join(a.Examples[:], `","`) + `"]`,
		"payload": `{"event":"` + a.Examples[0] + `"}`}
	for i := range all {
		all[i].Examples = examples
	}
	return all
}

type listIn struct {
	web.Paging
}

type oneID struct {
	ID string `path:"id" doc:"UUID" example:"01997b1c-0000-7000-8000-000000000001"`
}

func (a *API) listWebhooks(ctx context.Context, in listIn) (web.Page[webhookView], error) {
	w, err := webhook.Endpoints.Window(ctx, a.DB, in.Place(), store.Query{})
	return web.PageOf(w, viewWebhook), err
}

type createWebhookIn struct {
	URL         string      `json:"url" required:"true" max:"2048" doc:"absolute, with http or https; private addresses only as [webhooks] allow says" example:"https://receiver.example/provisioning"`
	Events      []string    `json:"events" required:"true" max:"100" doc:"names of events"`
	Description string      `json:"description" max:"4096" form:"free" doc:"what it is for" example:"pager of the night shift"`
	Secret      secret.Text `json:"secret" max:"256" doc:"whsec_ and the base64 of 24 to 64 bytes; a good one is made when it is left out" example:"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`
}

func (a *API) createWebhook(ctx context.Context, in createWebhookIn) (webhookSecretView, error) {
	made := webhookSecretView{ID: web.NewID(ctx)} // without the secret, of which a key keeps nothing
	web.Answering(ctx, made)
	if err := a.mayBeSent(ctx, in.Events...); err != nil {
		return webhookSecretView{}, err
	}
	_, s, err := a.Hooks.Create(ctx, made.ID, makerOf(ctx),
		webhook.Input{URL: &in.URL, Events: in.Events, Description: &in.Description, Secret: in.Secret})
	if err != nil {
		return webhookSecretView{}, err
	}
	made.Secret = s.Reveal()
	return made, nil
}

func (a *API) getWebhook(ctx context.Context, in oneID) (webhookView, error) {
	e, err := a.Hooks.Get(ctx, id.Canonical(in.ID))
	if err != nil {
		return webhookView{}, err
	}
	v := viewWebhook(e)
	lost, err := a.Hooks.Lost(ctx, e.ID)
	for _, l := range lost {
		v.Lost = append(v.Lost, viewLost(l))
	}
	return v, err
}

type updateWebhookIn struct {
	oneID
	URL         *string  `json:"url" max:"2048" doc:"where it is sent to" example:"https://receiver.example/provisioning"`
	Events      []string `json:"events" max:"100" doc:"what is sent"`
	Description *string  `json:"description" max:"4096" form:"free" doc:"what it is for" example:"pager of the night shift"`
}

func (a *API) updateWebhook(ctx context.Context, in updateWebhookIn) (v webhookView, err error) {
	before, err := a.getWebhook(ctx, in.oneID)
	if err != nil {
		return v, err
	}
	err = a.Hooks.Update(ctx, before.ID, makerOf(ctx),
		webhook.Input{URL: in.URL, Events: in.Events, Description: in.Description}, func(e webhook.Endpoint) error {
			v = viewWebhook(e)
			v.Lost = before.Lost
			web.Answering(ctx, v)
			return a.mayBeSent(ctx, e.Events...)
		})
	return v, err
}

func (a *API) deleteWebhook(ctx context.Context, in oneID) error {
	return a.Hooks.Delete(ctx, id.Canonical(in.ID))
}

type pauseWebhookIn struct {
	oneID
	Reason string `json:"reason" max:"256" form:"free" doc:"why, for those who look at it later" example:"the receiver moves"`
}

func (a *API) pauseWebhook(ctx context.Context, in pauseWebhookIn) error {
	return a.Hooks.Pause(ctx, id.Canonical(in.ID), in.Reason)
}

func (a *API) resumeWebhook(ctx context.Context, in oneID) error {
	return a.Hooks.Resume(ctx, id.Canonical(in.ID), a.reads(ctx))
}

type rotateWebhookIn struct {
	oneID
	Secret secret.Text `json:"secret" max:"256" doc:"whsec_ and the base64 of 24 to 64 bytes; a good one is made when it is left out" example:"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`
}

func (a *API) rotateWebhook(ctx context.Context, in rotateWebhookIn) (webhookSecretView, error) {
	rotated := webhookSecretView{ID: id.Canonical(in.ID)}
	web.Answering(ctx, rotated)
	s, err := a.Hooks.Rotate(ctx, rotated.ID, makerOf(ctx), in.Secret, a.reads(ctx))
	if err != nil {
		return webhookSecretView{}, err
	}
	rotated.Secret = s.Reveal()
	return rotated, nil
}

// answering returns the function that keeps the view of a delivery in v, and answers with it.
func answering(ctx context.Context, v *deliveryView) func(webhook.Delivery) {
	return func(d webhook.Delivery) {
		*v = viewDelivery(d)
		web.Answering(ctx, *v)
	}
}

func (a *API) testWebhook(ctx context.Context, in oneID) (deliveryView, error) {
	var v deliveryView
	err := a.Hooks.Test(ctx, id.Canonical(in.ID), answering(ctx, &v))
	return v, err
}

type listDeliveriesIn struct {
	web.Paging
	oneID
	Status string `query:"status" enum:"pending,delivered,dead" doc:"only deliveries with this status"`
}

func (a *API) listDeliveries(ctx context.Context, in listDeliveriesIn) (web.Page[deliveryView], error) {
	w, err := a.Hooks.Window(ctx, id.Canonical(in.ID), webhook.Stage(in.Status), in.Place())
	return web.PageOf(w, viewDelivery), err
}

type oneDelivery struct {
	oneID
	Delivery string `path:"delivery" doc:"id of the delivery" example:"01997b1c-0000-8000-8000-000000000001"`
}

// Resources names the webhook: who may see it may see its deliveries.
func (in oneDelivery) Resources() []authz.Resource { return []authz.Resource{{Name: in.ID}} }

func (a *API) getDelivery(ctx context.Context, in oneDelivery) (deliveryView, error) {
	d, err := a.Hooks.Delivery(ctx, id.Canonical(in.ID), id.Canonical(in.Delivery))
	if err == nil {
		err = a.mayBeSent(ctx, d.Event)
	}
	if err != nil {
		return deliveryView{}, err
	}
	v := viewDelivery(d)
	v.Payload = d.Payload
	return v, nil
}

func (a *API) redeliver(ctx context.Context, in oneDelivery) (deliveryView, error) {
	var v deliveryView
	err := a.Hooks.Redeliver(ctx, id.Canonical(in.ID), id.Canonical(in.Delivery), func(d webhook.Delivery) error {
		answering(ctx, &v)(d)
		return a.mayBeSent(ctx, d.Event)
	})
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
	var v requeuedView
	err := a.Hooks.RedeliverRange(ctx, id.Canonical(in.ID),
		webhook.Range{From: uint64(in.From), To: uint64(in.To), DeadOnly: in.DeadOnly}, func(r webhook.Requeued) error {
			v = requeuedView{Queued: r.Queued, NotKept: r.NotKept}
			web.Answering(ctx, v)
			return a.mayBeSent(ctx, r.Events...)
		})
	return v, err
}
