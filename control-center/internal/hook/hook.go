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

	"github.com/provisioning-platform/platform/control-center/internal/change"
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

// Config returns what is the control-center's own of the configuration of webhooks; Sealer and Log
// are missing.
func Config(db *feed.Hub, users *user.Users, authority *authz.Authority, now func() time.Time) webhook.Config {
	return webhook.Config{
		DB: db, Noun: noun, Stream: change.Stream, Agent: "provisioning-platform-control-center", Now: now, Render: render,
		Announce: announce,
		Allowed: func(ctx context.Context, owner string, m webhook.Message) (string, error) {
			return mayRead(ctx, users, authority, owner, m.Event, now())
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

// mayRead returns why an account may not read an event now, without a second factor or an address;
// "" when it may: it has to be enabled, and to be allowed to read webhooks and what the event is
// about.
func mayRead(ctx context.Context, users *user.Users, authority *authz.Authority, owner, event string, now time.Time) (string, error) {
	u, err := users.Get(ctx, owner)
	switch {
	case fault.Is(err, fault.NotFound):
		return "the account " + owner + " was deleted", nil
	case err != nil:
		return "", err
	case !u.Enabled:
		return "the account " + owner + " was disabled", nil
	}
	for _, typ := range []string{noun, about[nounOf(event)]} {
		if typ == "" {
			continue
		}
		d := authority.Decide(authz.Request{Subject: authz.Subject{ID: u.ID, Username: u.Username, Roles: u.Roles}, Action: "read",
			Resource: authz.Resource{Type: typ}, Time: now})
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
