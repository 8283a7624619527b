package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/watch"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/openapi"
)

// MayWatch returns what says whether somebody may see the events of a category at the time now
// returns: who may read, from the address of the socket, the resource that they are about.
func MayWatch(decide func(authz.Request) authz.Decision, now func() time.Time) func(c token.Claims, address, category string) bool {
	return func(c token.Claims, address, category string) bool {
		return decide(authz.Request{
			Subject: (&web.Caller{Claims: c}).Subject(), Action: "read", IP: address,
			Resource: authz.Resource{Type: event.Resource(category)}, Time: now(),
		}).Allowed
	}
}

// AddressOf returns the address of a client, behind the proxies that are trusted.
func AddressOf(r *http.Request) string { return web.CallerOf(r.Context()).IP.String() }

// RefuseSocket writes a refusal before the upgrade. Events that are kept no longer have an answer
// of their own: extra says where to begin instead.
func RefuseSocket(w http.ResponseWriter, r *http.Request, err error, extra map[string]any) {
	if fault.Is(err, fault.Gone) {
		watch.Envelope(w, http.StatusGone, fault.Of(err).Message, extra)
		return
	}
	web.Refuse(w, r, err)
}

func (a *API) socketRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/ws", Op: "watchEvents", Summary: "Live events over WebSocket, from any kept sequence on",
			Doc: "A token comes in the Authorization header, in the address, or in a first message {\"type\": \"auth\", \"token\": …} " +
				"within 10 s; a page of a browser gives a ticket. The same message with a newer token of the same user keeps the socket " +
				"open beyond the end of the first. Each message of the service is one event or, with batch_size, a list of them. " +
				"The categories are " + strings.Join(event.Categories(), ", ") + ".",
			Permission: web.Open(), Lasts: true, Speaks: socket(), Stream: a.Socket},
		{Method: "POST", Path: "/ws/tickets", Op: "createTicket", Summary: "Get a ticket that opens one socket in place of a token",
			Doc: "A page of a browser can send no header with a WebSocket handshake, and a token in an address may be logged on its " +
				"way. The ticket is good for one handshake, /ws?ticket=…, within 30 s; the socket has the rights of the token that " +
				"asked and ends with its session. A restart of the service makes unused tickets invalid. API tokens get none.",
			Status: http.StatusCreated, Permission: web.Authenticated(), Audit: "ticket.create", ShowsSecret: true,
			Refuses: []fault.Kind{fault.Denied}, Handle: web.To(a.createTicket)},
	}
}

// ticketView shows a ticket; no other answer does.
type ticketView struct {
	ID        string    `json:"id" doc:"names the ticket in the audit log" example:"01997b1c-0000-7000-8000-000000000001"`
	Ticket    string    `json:"ticket" doc:"opens one socket: /ws?ticket=…; it is never shown again" example:"wst_3q2-796tvu_erb7v3q2-796tvu_erb7v3q2-796tvu8"`
	ExpiresAt time.Time `json:"expires_at" doc:"until when it does"`
}

// Object returns the id of the ticket, for the record of an Idempotency-Key.
func (v ticketView) Object() string { return v.ID }

// createTicket gives the caller a ticket. The commit holds its audit entry and nothing of itself.
func (a *API) createTicket(ctx context.Context, _ web.None) (ticketView, error) {
	t, err := a.Tickets(web.CallerOf(ctx).Claims)
	if err != nil {
		return ticketView{}, err
	}
	v := ticketView{ID: web.NewID(ctx), Ticket: t.Secret.Reveal(), ExpiresAt: t.Expires.UTC()}
	web.Answering(ctx, v)
	return v, audit.Record(ctx, a.Engine.DB, audit.EntryDraft{Action: "ticket.create", Resource: "tickets/" + v.ID})
}

// socket describes the stream of /ws.
func socket() *openapi.StreamDoc {
	d := watch.Describe()
	return &openapi.StreamDoc{Status: http.StatusSwitchingProtocols,
		Doc:   "The connection is a WebSocket now. X-Events-Epoch and X-Events-Sequence say where it begins to read.",
		Query: d.Query, Sends: d.Sends, Hears: d.Hears, Closes: d.Closes,
		Refuses: []fault.Kind{fault.Unauthenticated, fault.Denied, fault.Gone}}
}
