package provisioning

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/control-center/internal/subscription"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
)

type publishIn struct {
	Publisher string    `json:"publisher_name" required:"true" enum:"udm-listener,ldif-producer,udm-pre-fill,consumer-registration,consumer_client_test" doc:"what kind of program publishes"`
	Timestamp timestamp `json:"ts" required:"true" doc:"when it happened: ISO 8601 with or without a zone, or seconds or milliseconds since 1970" example:"2026-01-01T10:00:00+00:00"`
	Realm     string    `json:"realm" required:"true" empty:"true" form:"free" max:"512" doc:"what the topic belongs to" example:"udm"`
	Topic     string    `json:"topic" required:"true" empty:"true" form:"free" max:"512" doc:"what kind of object changed" example:"users/user"`
	Body      objects   `json:"body" required:"true" doc:"the object before and after"`
}

// objects is the body of a message. Both texts are kept byte for byte.
type objects struct {
	Old json.RawMessage `json:"old" required:"true" doc:"the object before; {} when it is new" example:"{}"`
	New json.RawMessage `json:"new" required:"true" doc:"the object after; {} when it is gone" example:"{\"objectType\":\"users/user\",\"dn\":\"uid=dana,dc=example\"}"`
}

func (a *API) publish(ctx context.Context, in publishIn) (any, error) {
	m, err := in.message()
	if err != nil {
		return nil, err
	}
	return nil, a.Subscriptions.Publish(ctx, []directory.Message{m})
}

// message returns what is stored of a publish, or one fault that says all that is wrong with its
// body.
func (in publishIn) message() (directory.Message, error) {
	var wrong []fault.Field
	empty, typed := true, false
	object := ""
	for _, side := range []struct {
		pointer string
		raw     json.RawMessage
	}{{"/body/old", in.Body.Old}, {"/body/new", in.Body.New}} {
		if len(side.raw) == 0 || side.raw[0] != '{' {
			wrong = append(wrong, fault.Field{Pointer: side.pointer, Message: "must be an object; {} stands for none"})
			continue
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(side.raw, &members); err != nil {
			return directory.Message{}, err
		}
		empty = empty && len(members) == 0
		typed = typed || truthy(members["objectType"]) || truthy(members["univentionObjectType"])
		if dn := ""; json.Unmarshal(members["dn"], &dn) == nil && dn != "" {
			object = dn
		}
	}
	switch {
	case wrong != nil:
	case empty:
		wrong = append(wrong, fault.Field{Pointer: "/body", Message: "old and new must not both be empty"})
	case !typed:
		wrong = append(wrong, fault.Field{Pointer: "/body",
			Message: "old or new must have a member objectType or univentionObjectType that is not empty"})
	}
	if in.Realm == user.Realm {
		wrong = append(wrong, fault.Field{Pointer: "/realm",
			Message: "must be another realm than " + user.Realm + ", whose events this service publishes of its own accounts"})
	}
	if wrong != nil {
		return directory.Message{}, fault.New(fault.Invalid, "message.invalid", "the message is not valid").With(wrong...)
	}
	return directory.Message{
		Publisher: in.Publisher, Timestamp: string(in.Timestamp), Realm: in.Realm, Topic: in.Topic, Object: object,
		Body: directory.Body(in.Body.Old, in.Body.New),
	}, nil
}

// truthy says whether a JSON value is there and neither empty, zero, false nor null.
func truthy(value json.RawMessage) bool {
	switch string(value) {
	case "", `""`, `0`, `false`, `null`, `[]`, `{}`:
		return false
	}
	return true
}

type nextIn struct {
	byName
	Timeout float64 `query:"timeout" default:"5" doc:"seconds to wait for a message, with fractions; at most 300" example:"10"`
	Pop     boolean `query:"pop" default:"false" doc:"take the message out of the queue with its delivery, so that it is delivered at most once" example:"false"`
}

// reasonHeader says why a poll is answered null.
const reasonHeader = "X-Queue-Reason"

func (a *API) next(ctx context.Context, in nextIn) (web.Raw, error) {
	if math.IsInf(in.Timeout, 0) || math.IsNaN(in.Timeout) {
		return web.Raw{}, fault.New(fault.Invalid, "message.bad_timeout", "timeout must be a number of seconds").
			With(fault.Field{Pointer: "timeout", Message: "must be a number of seconds"})
	}
	wait := time.Duration(max(0, min(in.Timeout, subscription.MaxWait.Seconds())) * float64(time.Second))
	d, reason, err := a.Subscriptions.Next(ctx, in.Name, wait, bool(in.Pop))
	if err != nil {
		return web.Raw{}, err
	}
	if d == nil {
		return web.Raw{ContentType: typeJSON, Body: []byte("null"), Headers: map[string]string{reasonHeader: string(reason)}}, nil
	}
	text, err := encode(d)
	return web.Raw{ContentType: typeJSON, Body: text}, err
}

// encode writes a delivery with its members in the order of the original. The body stands in it
// byte for byte as it was published, which no encoder would leave it.
func encode(d *subscription.Delivered) ([]byte, error) {
	head, err := json.Marshal(struct {
		Publisher string `json:"publisher_name"`
		Timestamp string `json:"ts"`
		Realm     string `json:"realm"`
		Topic     string `json:"topic"`
	}{d.Publisher, d.Timestamp, d.Realm, d.Topic})
	if err != nil {
		return nil, err
	}
	tail, err := json.Marshal(struct {
		Sequence uint64 `json:"sequence_number"`
		Count    int    `json:"num_delivered"`
	}{d.Sequence, d.Count})
	if err != nil {
		return nil, err
	}
	return slices.Concat(head[:len(head)-1], []byte(`,"body":`), d.Body, []byte{','}, tail[1:]), nil
}

type acknowledgeIn struct {
	byNumber
	Status string  `json:"status" required:"true" enum:"ok,retry,working,dead" doc:"ok: it is done. Not in the original: retry: deliver it again after so many seconds; working: not before then; dead: keep it as a dead letter" example:"ok"`
	After  float64 `json:"after" min:"0" max:"43200" doc:"seconds, with retry and working" example:"0" rare:"true"`
	Reason string  `json:"reason" form:"free" max:"1024" doc:"why, with dead" example:"the mailbox name is taken" rare:"true"`
}

func (a *API) acknowledge(ctx context.Context, in acknowledgeIn) (any, error) {
	in.Number = strings.TrimSuffix(in.Number, ".0") // the original takes 1.0 as 1
	seq, err := in.number()
	if err != nil {
		return nil, err
	}
	pause := time.Duration(in.After * float64(time.Second))
	switch in.Status {
	case "retry":
		return nil, a.Subscriptions.Postpone(ctx, in.Name, seq, pause)
	case "working":
		if pause == 0 {
			return nil, fault.New(fault.Invalid, "message.working", "say for how long: after, in seconds").
				With(fault.Field{Pointer: "/after", Message: "must be above 0 with the status working"})
		}
		return nil, a.Subscriptions.Postpone(ctx, in.Name, seq, pause)
	case "dead":
		return nil, a.Subscriptions.Bury(ctx, in.Name, seq, cmp.Or(in.Reason, "its consumer said so"))
	}
	return nil, a.Subscriptions.Acknowledge(ctx, in.Name, seq)
}
