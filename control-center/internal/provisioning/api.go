package provisioning

import (
	"context"
	"net/http"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/control-center/internal/subscription"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/openapi"
)

// API is the table of the Provisioning API's routes. It is built as a literal.
type API struct {
	Subscriptions *subscription.Subscriptions
	Admin         Role // creates, lists and deletes subscriptions
	Prefill       Role // says how far a prefill is
	Publisher     Role // publishes
	Now           func() time.Time

	failures failures
	usual    usual
}

// Nouns returns the groups of the OpenAPI document.
func Nouns() []openapi.Noun {
	return []openapi.Noun{
		{Name: "subscriptions", Paths: []string{"v1/subscriptions"}, Doc: "A consumer's wish to hear of some topics, and its queue."},
		{Name: "messages", Paths: []string{"v1/messages", "v1/subscriptions/:name/messages", "v1/subscriptions/:name/dead-letters"},
			Doc: "Directory events, published once and delivered to every subscription that wants them."},
	}
}

// answerWithin is how long the answer to a long poll may take.
const answerWithin = subscription.MaxWait + 10*time.Second

// maxPublish is the largest body of a publish: a message and what stands around it.
const maxPublish = directory.MaxMessage + 64<<10

// Routes returns the routes of section 1.3 of the contract.
func (a *API) Routes() []web.Route {
	admin, prefill, publisher := a.onlyRole(a.Admin), a.onlyRole(a.Prefill), a.onlyRole(a.Publisher)
	own, ownOrAdmin := a.subscriber(false), a.subscriber(true)
	signedIn := web.Authenticated()
	routes := []web.Route{
		{Method: "GET", Path: "/v1/subscriptions", Op: "listSubscriptions", Summary: "List all subscriptions", Permission: signedIn,
			Face:  admin,
			Limit: web.Free, Handle: web.To(a.list)},
		{Method: "POST", Path: "/v1/subscriptions", Op: "createSubscription", Summary: "Create a subscription",
			Doc: "When it is answered 201, every matching message that is published from now on is delivered. 200 says that the same " +
				"subscription exists already; 409 that another one has its name.", Status: http.StatusCreated, Permission: signedIn,
			Face: admin, Limit: web.Free, Audit: "subscription.create", Refuses: []fault.Kind{fault.Conflict}, Handle: web.To(a.create)},
		{Method: "GET", Path: "/v1/subscriptions/:name", Op: "getSubscription", Summary: "Show a subscription to itself",
			Permission: signedIn,
			Face:       own, Limit: web.Free, Handle: web.To(a.get)},
		{Method: "DELETE", Path: "/v1/subscriptions/:name", Op: "deleteSubscription", Summary: "Delete a subscription with its queue",
			Permission: signedIn, Face: ownOrAdmin, Limit: web.Free, Audit: "subscription.delete", Handle: web.To(a.delete)},
		{Method: "PATCH", Path: "/v1/subscriptions/:name/prefill", Op: "setPrefillStatus",
			Summary:    "Say how far the prefill of a subscription is",
			Doc:        "Whoever says it has taken the prefill over: this service does not work on it any more, until it is restarted.",
			Permission: signedIn, Face: prefill, Limit: web.Free, Audit: "subscription.prefill", Handle: web.To(a.setPrefill)},
		{Method: "GET", Path: "/v1/subscriptions/:name/messages/next", Op: "nextMessage", Summary: "The oldest message that waits, or null",
			Doc: "It waits up to timeout for one. Until it is acknowledged it is delivered again after a second. X-Queue-Reason says why " +
				"there is none: empty, prefill-pending, prefill-failed or in-flight.", Permission: signedIn, Face: own, Limit: web.Free,
			Wait: answerWithin, Lasts: true, Handle: web.To(a.next)},
		{Method: "PATCH", Path: "/v1/subscriptions/:name/messages/:seq_num/status", Op: "acknowledgeMessage",
			Summary:    "Acknowledge a message",
			Permission: signedIn, Face: own, Limit: web.Free, Audit: "message.acknowledge", Handle: web.To(a.acknowledge)},
		{Method: "POST", Path: "/v1/messages", Op: "publishMessage", Summary: "Publish a message", Status: http.StatusAccepted,
			MaxBody:    maxPublish,
			Doc:        "When it is answered 202, the message is stored and will be delivered to every subscription that wants it.",
			Permission: signedIn, Face: publisher, Limit: web.Free, Audit: "message.publish", Handle: web.To(a.publish)},
	}
	return append(routes, a.additive(admin, publisher, own, ownOrAdmin)...)
}

// Known says whether the text of a path parameter may name something (web.Config.Known).
func Known(param, value string) bool {
	switch param {
	case "name":
		return subscription.ValidName(value)
	case "seq_num":
		return len(value) <= 20
	}
	return false
}

type topic struct {
	Realm string `json:"realm" required:"true" empty:"true" doc:"what a topic belongs to" example:"udm"`
	Topic string `json:"topic" required:"true" empty:"true" doc:"one topic, or with * at the end all that begin so" example:"users/user"`
}

type createIn struct {
	Name           string  `json:"name" required:"true" doc:"letters, digits, _ and -, at most 128" example:"mail-connector"`
	Topics         []topic `json:"realms_topics" required:"true" doc:"what is delivered"`
	RequestPrefill boolean `json:"request_prefill" required:"true" doc:"whether all objects that exist are delivered first" example:"false"`
	Password       string  `json:"password" required:"true" empty:"true" doc:"of the consumer, whose user name is the subscription's; it may be empty" example:"correct horse battery"`
	Options        options `json:"options" doc:"what the original does not have" rare:"true"`
	choice
}

func (in createIn) draft() subscription.Draft {
	d := subscription.Draft{Name: in.Name, RequestPrefill: bool(in.RequestPrefill), Password: in.Password, Options: in.Options.stored(),
		Filter: in.conditions(), Redact: in.Redact}
	for _, t := range in.Topics {
		d.Topics = append(d.Topics, subscription.Topic(t))
	}
	return d
}

type subscriptionView struct {
	Name           string              `json:"name" doc:"its name, which is also the user name of its consumer" example:"mail-connector"`
	Topics         []topic             `json:"realms_topics" doc:"what is delivered"`
	RequestPrefill bool                `json:"request_prefill" doc:"whether it asked for all objects that exist"`
	Status         subscription.Status `json:"prefill_queue_status" enum:"pending,running,failed,done" doc:"how far its prefill is"`
}

func view(v subscription.View) subscriptionView {
	out := subscriptionView{Name: v.Name, Topics: []topic{}, RequestPrefill: v.RequestPrefill, Status: v.Status}
	for _, t := range v.Topics() {
		out.Topics = append(out.Topics, topic(t))
	}
	return out
}

type byName struct {
	Name string `path:"name" doc:"name of the subscription" example:"mail-connector"`
}

func (a *API) list(ctx context.Context, _ web.None) ([]subscriptionView, error) {
	all, err := a.Subscriptions.List(ctx)
	views := []subscriptionView{}
	for _, v := range all {
		views = append(views, view(v))
	}
	return views, err
}

func (a *API) create(ctx context.Context, in createIn) (any, error) {
	created, err := a.Subscriptions.Create(ctx, in.draft())
	if err != nil || created {
		return nil, err
	}
	return unchanged{}, nil
}

// unchanged is the answer null with status 200 of a create that changed nothing.
type unchanged struct{}

// Status returns 200.
func (unchanged) Status() int { return http.StatusOK }

// MarshalJSON returns null.
func (unchanged) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

func (a *API) get(ctx context.Context, in byName) (subscriptionView, error) {
	v, err := a.Subscriptions.Get(ctx, in.Name)
	if err != nil {
		return subscriptionView{}, err
	}
	return view(v), nil
}

func (a *API) delete(ctx context.Context, in byName) (any, error) {
	return nil, a.Subscriptions.Delete(ctx, in.Name)
}

type prefillIn struct {
	byName
	Status string `json:"status" required:"true" enum:"pending,running,failed,done" doc:"how far it is"`
}

func (a *API) setPrefill(ctx context.Context, in prefillIn) (any, error) {
	return nil, a.Subscriptions.SetStatus(ctx, in.Name, subscription.Status(in.Status))
}
