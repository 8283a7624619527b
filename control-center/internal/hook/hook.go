// Package hook says what the control-center's events mean to receivers of identity webhooks, who
// may read them, and what the stream says of the webhooks themselves (decision 54).
//
// It owns no delivery (package webhook) and no event (package change). The one rule: an event about
// a webhook is sent to no webhook, so that a receiver that fails makes no work for itself.
package hook

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/serviceaccount"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/webhook"
)

// noun is what the policies call a webhook of the control-center.
const noun = "identity-webhooks"

// about is the type of the resources that an event is about, by the noun in its type. A noun that
// is missing has no resource of its own: its events are for whoever may read webhooks.
var about = map[string]string{"user": "users", "session": "users", "login": "users", "mfa": "users", "key": "keys", "policy": "policies",
	"serviceaccount": "service-accounts", "token": "tokens"}

// Events is the names that an identity webhook can ask for.
type Events struct{}

// EventNames returns all types of events but those about webhooks, sorted.
func (Events) EventNames() (names []string) {
	for _, t := range change.Types() {
		if nounOf(string(t)) != "webhook" {
			names = append(names, string(t))
		}
	}
	slices.Sort(names)
	return names
}

func nounOf(event string) string {
	n, _, _ := strings.Cut(event, ".")
	return n
}

// Makers is where the makers of webhooks are looked up.
type Makers struct {
	People   *user.Users
	Machines *serviceaccount.Roster
	Tokens   *apitoken.Registry
}

// Config returns what is the control-center's own of the configuration of webhooks; Sealer and Log
// are missing.
func Config(db *feed.Hub, who Makers, authority *authz.Authority, now func() time.Time) webhook.Config {
	return webhook.Config{
		DB: db, Noun: noun, Stream: change.Stream, Agent: "provisioning-platform-control-center", Now: now, Render: render,
		Announce: announce, Reads: reads,
		Allowed: func(ctx context.Context, maker webhook.Maker, m webhook.Message) (string, error) {
			why, err := endOf(ctx, who.Tokens, maker.Token, now())
			if why != "" || err != nil {
				return why, err
			}
			return mayRead(ctx, who, authority, maker.ID, m.Event, now())
		},
	}
}

// message is the member "data" of a delivery: who did it, to what, and what the event says more.
type message struct {
	Actor change.Actor `json:"actor"`
	change.Data
	ObjectID string `json:"object_id,omitempty"`
}

// render returns what an event means to receivers.
func render(entry []byte) (webhook.Message, bool) {
	var e change.Event
	if json.Unmarshal(entry, &e) != nil || nounOf(string(e.Type)) == "webhook" {
		return webhook.Message{}, false
	}
	at, err := time.Parse(instant.Layout, e.Timestamp)
	if err != nil {
		return webhook.Message{}, false
	}
	data, err := canonical.Make(message{Actor: e.Actor, Data: e.Data, ObjectID: e.ObjectID})
	return webhook.Message{Event: string(e.Type), At: at, Data: data}, err == nil
}

// reads returns the types of the resources that somebody must be allowed to read who is sent an
// event: webhooks, and what the event is about.
func reads(event string) []string {
	if typ := about[nounOf(event)]; typ != "" {
		return []string{noun, typ}
	}
	return []string{noun}
}

// endOf returns why what an API token has set up may not go on at a time; "" when it may, and for
// no token. One that is not listed any more ended long ago.
func endOf(ctx context.Context, tokens *apitoken.Registry, tokenID string, now time.Time) (string, error) {
	if tokenID == "" {
		return "", nil
	}
	t, err := tokens.Get(ctx, tokenID)
	switch {
	case fault.Is(err, fault.NotFound):
		return "the API token " + tokenID + " is over", nil
	case err != nil:
		return "", err
	}
	switch state := t.State(now); state {
	case apitoken.Active, apitoken.Retiring:
		return "", nil
	default:
		return "the API token " + tokenID + " is " + string(state), nil
	}
}

// find returns the account of a person or a machine as the policies see it now, and whether it is
// enabled. The fault is NotFound when there is none.
func (a Makers) find(ctx context.Context, owner string) (asks authz.Subject, enabled bool, err error) {
	u, err := a.People.Get(ctx, owner)
	if fault.Is(err, fault.NotFound) {
		m, err := a.Machines.Get(ctx, owner)
		return authz.Subject{ID: m.ID, Username: m.Username(), Roles: m.Roles}, m.Enabled, err
	}
	return authz.Subject{ID: u.ID, Username: u.Username, Roles: u.Roles}, u.Enabled, err
}

// mayRead returns why the account of a person or a machine may not read an event now, without a
// second factor or an address; "" when it may: it has to be enabled, and to be allowed to read
// webhooks and what the event is about.
func mayRead(ctx context.Context, who Makers, authority *authz.Authority, owner, event string, now time.Time) (string, error) {
	asks, enabled, err := who.find(ctx, owner)
	switch {
	case fault.Is(err, fault.NotFound):
		return "the account " + owner + " was deleted", nil
	case err != nil:
		return "", err
	case !enabled:
		return "the account " + owner + " was disabled", nil
	}
	for _, typ := range reads(event) {
		d := authority.Decide(authz.Request{Subject: asks, Action: "read", Resource: authz.Resource{Type: typ}, Time: now})
		if !d.Allowed {
			return "the account " + owner + " may no longer read " + typ + ": " + d.Refusal(), nil
		}
	}
	return "", nil
}

// announce emits the event of a change in its transaction.
func announce(tx *store.Tx, n webhook.News) error {
	t := map[webhook.Occurrence]change.Type{
		webhook.Made: change.WebhookCreated, webhook.Changed: change.WebhookUpdated, webhook.Stopped: change.WebhookPaused,
		webhook.Halted: change.WebhookPaused, webhook.Went: change.WebhookResumed, webhook.Removed: change.WebhookDeleted,
		webhook.Requeues: change.WebhookQueued, webhook.GaveUp: change.WebhookDeadLetter,
	}[n.Occurrence]
	return change.Emit(tx, t, n.Endpoint, change.Data{Delivery: n.Delivery, Name: n.Event, Reason: n.Reason})
}
