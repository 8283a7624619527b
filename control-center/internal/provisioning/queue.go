package provisioning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/control-center/internal/subscription"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
)

// Limits of the additive routes.
const (
	streamFor    = time.Hour        // a stream ends after this; its client connects again
	keepAlive    = 15 * time.Second // between two signs of life on a quiet stream
	streamBuffer = 64
)

// additive returns the routes that the original does not have.
func (a *API) additive(admin, publisher, own, ownOrAdmin *web.Face) []web.Route {
	signedIn := web.Authenticated()
	return []web.Route{
		{Method: "PATCH", Path: "/v1/subscriptions/:name", Op: "updateSubscription",
			Summary:    "Change topics, password or options of a subscription",
			Doc:        "Its queue stays: what waits is delivered, and other topics count for what is published from now on.",
			Permission: signedIn,
			Face:       admin, Limit: web.Free, Audit: "subscription.update", Refuses: []fault.Kind{fault.Conflict},
			Handle: web.To(a.update)},
		{Method: "GET", Path: "/v1/subscriptions/:name/queue", Op: "getQueue", Summary: "How much waits for a subscription, and since when",
			Permission: signedIn, Face: ownOrAdmin, Limit: web.Free, Handle: web.To(a.queue)},
		{Method: "POST", Path: "/v1/subscriptions/:name/rewind", Op: "rewindSubscription", Summary: "Deliver messages again that are kept",
			Doc:        "From the number of a message in the log of all messages, or from a time. The messages get new sequence numbers.",
			Permission: signedIn, Face: ownOrAdmin, Limit: web.Free, Audit: "subscription.rewind",
			Refuses: []fault.Kind{fault.Conflict, fault.Gone}, Handle: web.To(a.rewind)},
		{Method: "POST", Path: "/v1/subscriptions/:name/prefill/restart", Op: "restartPrefill",
			Summary:    "Deliver all objects that exist again",
			Permission: signedIn, Face: ownOrAdmin, Limit: web.Free, Audit: "subscription.prefill", Refuses: []fault.Kind{fault.Conflict},
			Handle: web.To(a.restartPrefill)},
		{Method: "GET", Path: "/v1/subscriptions/:name/messages/stream", Op: "streamMessages", Summary: "Messages as server-sent events",
			Doc: "Each event is a message as nextMessage answers it, and its id is the sequence number. It is acknowledged as any " +
				"other; the " +
				"next one comes then. A stream ends after an hour.", Permission: signedIn, Face: own, Limit: web.Free, Wait: streamFor +
				time.Minute,
			Lasts: true, Produces: "text/event-stream", Handle: web.To(a.stream)},
		{Method: "POST", Path: "/v1/messages/batch", Op: "publishMessages", Summary: "Publish some messages in one commit: all or none",
			Status: http.StatusAccepted, MaxBody: maxPublish, Permission: signedIn, Face: publisher, Limit: web.Free,
			Audit:  "message.publish",
			Handle: web.To(a.publishBatch)},
		{Method: "GET", Path: "/v1/subscriptions/:name/dead-letters", Op: "listDeadLetters",
			Summary:    "Messages that a subscription could not handle",
			Permission: signedIn, Face: ownOrAdmin, Limit: web.Free, Handle: web.To(a.letters)},
		{Method: "GET", Path: "/v1/subscriptions/:name/dead-letters/:seq_num", Op: "getDeadLetter",
			Summary:    "A dead letter with its message",
			Permission: signedIn, Face: ownOrAdmin, Limit: web.Free, Handle: web.To(a.letter)},
		{Method: "POST", Path: "/v1/subscriptions/:name/dead-letters/:seq_num/requeue", Op: "requeueDeadLetter",
			Summary: "Put a dead letter at the end of its queue", Permission: signedIn, Face: ownOrAdmin, Limit: web.Free,
			Audit: "dead_letter.requeue", Handle: web.To(a.requeue)},
		{Method: "DELETE", Path: "/v1/subscriptions/:name/dead-letters/:seq_num", Op: "dropDeadLetter",
			Summary:    "Remove a dead letter for good",
			Permission: signedIn, Face: ownOrAdmin, Limit: web.Free, Audit: "dead_letter.drop", Handle: web.To(a.drop)},
	}
}

// options are what the original does not have; without them a queue delivers as there.
type options struct {
	MaxInFlight   int  `json:"max_in_flight,omitempty" min:"0" max:"100" doc:"messages in flight at the same time; those about one object stay in order. 0 is 1" example:"1"`
	RedeliveryMS  int  `json:"redelivery_ms,omitempty" min:"0" max:"43200000" doc:"milliseconds until a message that is not acknowledged comes again; 0 is 1000" example:"1000"`
	MaxDeliveries int  `json:"max_deliveries,omitempty" min:"0" doc:"deliveries after which a message is a dead letter; 0 is never" example:"10"`
	Strict        bool `json:"strict,omitempty" doc:"refuse to acknowledge what was not delivered" example:"false"`
}

type updateIn struct {
	byName
	Topics   []topic  `json:"realms_topics" doc:"what is delivered from now on"`
	Password *string  `json:"password" doc:"the new password of the consumer" example:"another horse battery"`
	Options  *options `json:"options" doc:"how the queue delivers"`
	choice
}

// choice is what a subscription chooses of the messages of its topics.
type choice struct {
	Filter []condition `json:"filter" max:"20" doc:"only messages whose object fulfils all of these, before or after the change; [] for all" rare:"true"`
	Redact []string    `json:"redact" max:"100" doc:"paths of members that deliveries do not have, with dots" example:"[\"properties.password\"]" rare:"true"`
}

type condition struct {
	Member string `json:"member" required:"true" doc:"path of a member of the object, with dots" example:"properties.mailPrimaryAddress"`
	Equals string `json:"equals,omitempty" doc:"the text that it is, or that is in its list" example:"dana@example.com"`
	Prefix string `json:"prefix,omitempty" doc:"or how it begins" example:"dana" rare:"true"`
	Suffix string `json:"suffix,omitempty" doc:"or how it ends" example:"@example.com" rare:"true"`
}

// conditions returns the filter as it is stored.
func (c choice) conditions() (filter []subscription.Condition) {
	for _, one := range c.Filter {
		filter = append(filter, subscription.Condition{Equals: one.Equals, Member: one.Member, Prefix: one.Prefix, Suffix: one.Suffix})
	}
	return filter
}

func (a *API) update(ctx context.Context, in updateIn) (any, error) {
	e := subscription.SubscriptionEdit{Password: in.Password}
	for _, t := range in.Topics {
		e.Topics = append(e.Topics, subscription.Topic(t))
	}
	if in.Options != nil {
		o := in.Options.stored()
		e.Options = &o
	}
	if in.Filter != nil {
		filter := in.conditions()
		e.Filter = &filter
	}
	if in.Redact != nil {
		e.Redact = &in.Redact
	}
	return nil, a.Subscriptions.Update(ctx, in.Name, e)
}

func (o options) stored() subscription.Options {
	return subscription.Options{MaxDeliveries: o.MaxDeliveries, MaxInFlight: o.MaxInFlight, RedeliveryMS: o.RedeliveryMS, Strict: o.Strict}
}

type queueView struct {
	Waiting uint64              `json:"waiting" doc:"messages that are not acknowledged"`
	Number  uint64              `json:"next_sequence_number,omitempty" doc:"number of the oldest of them"`
	Oldest  *time.Time          `json:"oldest,omitempty" doc:"when it was published"`
	Letters int                 `json:"dead_letters" doc:"dead letters that are kept"`
	Status  subscription.Status `json:"prefill_queue_status" enum:"pending,running,failed,done" doc:"how far the prefill is"`
	Options options             `json:"options" doc:"how the queue delivers"`
	Filter  []condition         `json:"filter" doc:"what an object has to have"`
	Redact  []string            `json:"redact" doc:"members that deliveries do not have"`
}

func (a *API) queue(ctx context.Context, in byName) (queueView, error) {
	v, err := a.Subscriptions.Get(ctx, in.Name)
	if err != nil {
		return queueView{}, err
	}
	d, err := a.Subscriptions.Depth(ctx, in.Name)
	o := v.Options
	out := queueView{Waiting: d.Waiting, Number: d.Number, Letters: d.Letters, Status: v.Status,
		Options: options{MaxInFlight: o.MaxInFlight, RedeliveryMS: o.RedeliveryMS, MaxDeliveries: o.MaxDeliveries, Strict: o.Strict},
		Filter:  []condition{}, Redact: append([]string{}, v.Redact...)}
	for _, c := range v.Filter {
		out.Filter = append(out.Filter, condition{Member: c.Member, Equals: c.Equals, Prefix: c.Prefix, Suffix: c.Suffix})
	}
	if !d.Oldest.IsZero() {
		out.Oldest = &d.Oldest
	}
	return out, err
}

type rewindIn struct {
	byName
	From  uint64     `json:"from" doc:"number of the first message in the log of all messages" example:"1"`
	Since *time.Time `json:"since" doc:"or the time since when" example:"2026-01-01T00:00:00Z"`
}

type rewound struct {
	From uint64 `json:"from" doc:"number of the first message that is delivered again"`
}

func (a *API) rewind(ctx context.Context, in rewindIn) (rewound, error) {
	if (in.From == 0) == (in.Since == nil) {
		return rewound{}, fault.New(fault.Invalid, "subscription.rewind", "say from where: either from, a number, or since, a time")
	}
	var since time.Time
	if in.Since != nil {
		since = *in.Since
	}
	from, err := a.Subscriptions.Rewind(ctx, in.Name, in.From, since)
	return rewound{From: from}, err
}

func (a *API) restartPrefill(ctx context.Context, in byName) (any, error) {
	return nil, a.Subscriptions.RestartPrefill(ctx, in.Name)
}

func (a *API) stream(ctx context.Context, in byName) (web.Pieces, error) {
	from, err := a.Subscriptions.Open(ctx, in.Name)
	if err != nil {
		return web.Pieces{}, err
	}
	return web.Pieces{ContentType: "text/event-stream", Headers: map[string]string{"Cache-Control": "no-store"},
		Write: func(w io.Writer) error {
			ctx, cancel := context.WithTimeout(ctx, streamFor)
			defer cancel()
			for {
				d, _, err := from.Next(ctx, keepAlive, false)
				switch {
				case ctx.Err() != nil || errors.Is(err, subscription.ErrUnknown) || errors.Is(err, subscription.ErrPassword):
					return nil
				case err != nil:
					return err
				case d == nil:
					if _, err := io.WriteString(w, ": nothing yet\n\n"); err != nil {
						return err
					}
					continue
				}
				text, err := encode(d)
				if err != nil {
					return err
				}
				if _, err := w.Write(serverSent(d.Sequence, text)); err != nil {
					return err
				}
			}
		}}, nil
}

// serverSent returns a server-sent event with one line of data for each line of text.
func serverSent(id uint64, text []byte) []byte {
	out := fmt.Appendf(make([]byte, 0, len(text)+streamBuffer), "id: %d\ndata: ", id)
	for _, c := range text {
		switch c {
		case '\n':
			out = append(out, "\ndata: "...)
		case '\r': // a blank of JSON outside texts, and a line's end here
		default:
			out = append(out, c)
		}
	}
	return append(out, "\n\n"...)
}

type batchIn struct {
	Messages []publishIn `json:"messages" required:"true" min:"1" max:"100" doc:"what is published, in this order"`
}

func (a *API) publishBatch(ctx context.Context, in batchIn) (any, error) {
	messages := make([]directory.Message, 0, len(in.Messages))
	for i, p := range in.Messages {
		m, err := p.message()
		if f := fault.Of(err); f != nil {
			wrong := make([]fault.Field, len(f.Fields))
			for j, e := range f.Fields {
				wrong[j] = fault.Field{Pointer: fmt.Sprintf("/messages/%d%s", i, e.Pointer), Message: e.Message}
			}
			return nil, fault.New(f.Kind, f.Code, "%s", f.Message).With(wrong...)
		}
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
	return nil, a.Subscriptions.Publish(ctx, messages)
}

type lettersIn struct {
	byName
	After uint64 `query:"after" default:"0" doc:"only dead letters with numbers above this" example:"0"`
	Limit int    `query:"limit" default:"100" min:"1" max:"1000" doc:"how many at most" example:"100"`
}

type letterView struct {
	Sequence uint64    `json:"sequence_number" doc:"number that it had in the queue"`
	Topic    string    `json:"topic" doc:"realm and topic" example:"udm users/user"`
	Reason   string    `json:"reason" doc:"why it could not be handled" example:"it was not acknowledged after 10 deliveries"`
	At       time.Time `json:"at" doc:"since when"`
}

func viewLetter(l subscription.DeadLetter) letterView {
	return letterView{Sequence: l.Sequence, Topic: l.Topic, Reason: l.Reason, At: l.At}
}

func (a *API) letters(ctx context.Context, in lettersIn) ([]letterView, error) {
	all, _, err := a.Subscriptions.DeadLetters(ctx, in.Name, in.After, in.Limit)
	views := []letterView{}
	for _, l := range all {
		views = append(views, viewLetter(l))
	}
	return views, err
}

type byNumber struct {
	byName
	Number string `path:"seq_num" doc:"sequence_number of the message" example:"1"`
}

// number returns the number in the path.
func (in byNumber) number() (uint64, error) {
	seq, err := strconv.ParseUint(in.Number, 10, 64)
	if err != nil || seq == 0 {
		return 0, fault.New(fault.Invalid, "message.bad_number", "the number of a message is a whole number above 0").
			With(fault.Field{Pointer: "seq_num", Message: "must be a whole number above 0"})
	}
	return seq, nil
}

type letterMessage struct {
	letterView
	Message json.RawMessage `json:"message" doc:"the message as it was published"`
}

func (a *API) letter(ctx context.Context, in byNumber) (letterMessage, error) {
	seq, err := in.number()
	if err != nil {
		return letterMessage{}, err
	}
	l, m, err := a.Subscriptions.DeadLetter(ctx, in.Name, seq)
	if err != nil {
		return letterMessage{}, err
	}
	text, err := encode(&subscription.Delivered{Message: m, Sequence: seq})
	return letterMessage{letterView: viewLetter(l), Message: text}, err
}

func (a *API) requeue(ctx context.Context, in byNumber) (any, error) {
	seq, err := in.number()
	if err != nil {
		return nil, err
	}
	return nil, a.Subscriptions.Requeue(ctx, in.Name, seq)
}

func (a *API) drop(ctx context.Context, in byNumber) (any, error) {
	seq, err := in.number()
	if err != nil {
		return nil, err
	}
	return nil, a.Subscriptions.Drop(ctx, in.Name, seq)
}
