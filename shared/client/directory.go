package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
)

// Directory talks to the Provisioning API, the directory events of the control-center
// (contracts/provisioning-api.md), with a user name and a password. Its fields are set once.
type Directory struct {
	Base     string // "http://127.0.0.1:7777"
	Username string // of a role, or the name of a subscription
	Password secret.Text
	HTTP     *http.Client // nil: one with a limit of 300 s, longer than a poll, that follows no redirect
	// Tries is how often a request is made that may be repeated, a GET or Subscribe, while the
	// service cannot be reached or answers 503; 0 is once. Pause is between two of them; 0 is 3 s.
	Tries int
	Pause time.Duration
	Key   string // Idempotency-Key of the change that this client makes; empty for none
}

// directoryPause is the time between two tries of a request (contracts/provisioning-api.md section
// 3, 35).
const directoryPause = 3 * time.Second

var directoryHTTP = DirectoryHTTP(nil)

// DirectoryHTTP returns an HTTP client for Directory that believes the given authorities; nil:
// those of this machine. It waits 300 s for an answer, which is longer than a poll. A redirect is
// an error: it would take the password elsewhere.
func DirectoryHTTP(roots *x509.CertPool) *http.Client {
	c := Connect(roots, 300*time.Second)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// RealmTopic is what a subscription wants: a topic, or with * at the end all that begin so.
type RealmTopic struct {
	Realm string `json:"realm"`
	Topic string `json:"topic"`
}

// QueueOptions say how a queue delivers; see the document of the API.
type QueueOptions struct {
	MaxInFlight   int  `json:"max_in_flight,omitempty"`
	RedeliveryMS  int  `json:"redelivery_ms,omitempty"` // milliseconds
	MaxDeliveries int  `json:"max_deliveries,omitempty"`
	Strict        bool `json:"strict,omitempty"`
}

// EventCondition is what an object has to have for its messages to be delivered: the member at a
// path with dots equals, begins or ends so.
type EventCondition struct {
	Member string `json:"member"`
	Equals string `json:"equals,omitempty"`
	Prefix string `json:"prefix,omitempty"`
	Suffix string `json:"suffix,omitempty"`
}

// NewSubscription describes a subscription to create.
type NewSubscription struct {
	Name           string        `json:"name"`
	Topics         []RealmTopic  `json:"realms_topics"`
	RequestPrefill bool          `json:"request_prefill"`
	Password       string        `json:"password"`
	Options        *QueueOptions `json:"options,omitempty"`

	Filter *[]EventCondition `json:"filter,omitempty"`
	Redact *[]string         `json:"redact,omitempty"`
}

// SubscriptionEdit says what of a subscription becomes another one; what is nil stays.
type SubscriptionEdit struct {
	Topics   []RealmTopic  `json:"realms_topics,omitempty"`
	Password *string       `json:"password,omitempty"`
	Options  *QueueOptions `json:"options,omitempty"`

	Filter *[]EventCondition `json:"filter,omitempty"`
	Redact *[]string         `json:"redact,omitempty"`
}

// Subscription is a subscription as the API shows it.
type Subscription struct {
	Name           string       `json:"name"`
	Topics         []RealmTopic `json:"realms_topics"`
	RequestPrefill bool         `json:"request_prefill"`
	Status         string       `json:"prefill_queue_status"`
}

// QueueState is what waits for a subscription.
type QueueState struct {
	Waiting uint64       `json:"waiting"`
	Number  uint64       `json:"next_sequence_number"`
	Oldest  *time.Time   `json:"oldest"`
	Letters int          `json:"dead_letters"`
	Status  string       `json:"prefill_queue_status"`
	Options QueueOptions `json:"options"`

	Filter []EventCondition `json:"filter"`
	Redact []string         `json:"redact"`
}

// DirectoryEvent is one message. Old and New are the object before and after, {} for none.
type DirectoryEvent struct {
	Publisher string         `json:"publisher_name"`
	Timestamp string         `json:"ts"`
	Realm     string         `json:"realm"`
	Topic     string         `json:"topic"`
	Body      DirectoryDelta `json:"body"`
	Sequence  uint64         `json:"sequence_number,omitempty"`
	Delivered int            `json:"num_delivered,omitempty"`
}

// DirectoryDelta is what a message says of its object, byte for byte as it was published.
type DirectoryDelta struct {
	Old json.RawMessage `json:"old"`
	New json.RawMessage `json:"new"`
}

// directoryKinds are the kinds of faults by status.
var directoryKinds = map[int]fault.Kind{
	401: fault.Unauthenticated, 404: fault.NotFound, 405: fault.MethodUnknown, 409: fault.Conflict, 410: fault.Gone, 413: fault.TooLarge,
	422: fault.Invalid, 429: fault.Throttled, 503: fault.Unavailable, 507: fault.Unavailable,
}

// repeat is do, tried again as Tries says. The request must be one that may be repeated.
func (d *Directory) repeat(ctx context.Context, method, path string, in, out any) error {
	for tries := 1; ; tries++ {
		_, err := d.do(ctx, method, path, in, out)
		if !fault.Is(err, fault.Unavailable) || tries >= d.Tries || !clock.Pause(ctx, cmp.Or(d.Pause, directoryPause), nil) {
			return err
		}
	}
}

// do sends one request and decodes the answer into out; nil leaves it.
func (d *Directory) do(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	var sent io.Reader
	if in != nil {
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false) // an object goes out as it came in
		if err := e.Encode(in); err != nil {
			return nil, err
		}
		sent = &text
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(d.Base, "/")+path, sent)
	if err != nil || r.URL.Host == "" {
		return nil, fault.New(fault.Malformed, "client.address", "%q is no address of a service; give one like http://127.0.0.1:7777",
			d.Base)
	}
	if sent != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if d.Key != "" && method != http.MethodGet {
		r.Header.Set("Idempotency-Key", d.Key)
	}
	r.SetBasicAuth(d.Username, d.Password.Reveal())
	h := d.HTTP
	if h == nil {
		h = directoryHTTP
	}
	resp, err := h.Do(r)
	if err != nil {
		return nil, unreachable(d.Base, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, unreachable(d.Base, err)
	}
	if resp.StatusCode >= 300 {
		return resp.Header, directoryFault(resp, text)
	}
	if out == nil {
		return resp.Header, nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return resp.Header, fmt.Errorf("decode the answer of %s: %w", path, err)
	}
	return resp.Header, nil
}

// directoryFault returns what an answer refuses with.
func directoryFault(resp *http.Response, text []byte) error {
	var said struct {
		Detail  string        `json:"detail"`
		Message string        `json:"message"`
		Code    string        `json:"code"`
		Errors  []fault.Field `json:"errors"`
	}
	_ = json.Unmarshal(text, &said) // a proxy may have answered: then the status says it
	kind := directoryKinds[resp.StatusCode]
	message := said.Detail + said.Message
	if message == "" {
		message = resp.Status
	}
	f := fault.New(kind, said.Code, "%s", message).With(said.Errors...)
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		f = f.After(time.Duration(n) * time.Second)
	}
	return f
}

func subscriptionPath(name string, rest ...string) string {
	path := "/v1/subscriptions/" + url.PathEscape(name)
	for _, r := range rest {
		path += "/" + r
	}
	return path
}

// Subscribe creates a subscription, as the administrator. The same one may exist already.
func (d *Directory) Subscribe(ctx context.Context, s NewSubscription) error {
	return d.repeat(ctx, http.MethodPost, "/v1/subscriptions", s, nil)
}

// UpdateSubscription changes a subscription and keeps its queue, as the administrator.
func (d *Directory) UpdateSubscription(ctx context.Context, name string, e SubscriptionEdit) error {
	_, err := d.do(ctx, http.MethodPatch, subscriptionPath(name), e, nil)
	return err
}

// Unsubscribe deletes a subscription, as the administrator or as itself.
func (d *Directory) Unsubscribe(ctx context.Context, name string) error {
	_, err := d.do(ctx, http.MethodDelete, subscriptionPath(name), nil, nil)
	return err
}

// Subscriptions returns all subscriptions, as the administrator.
func (d *Directory) Subscriptions(ctx context.Context) (all []Subscription, err error) {
	err = d.repeat(ctx, http.MethodGet, "/v1/subscriptions", nil, &all)
	return all, err
}

// Subscription returns the subscription whose name and password the client has.
func (d *Directory) Subscription(ctx context.Context) (s Subscription, err error) {
	err = d.repeat(ctx, http.MethodGet, subscriptionPath(d.Username), nil, &s)
	return s, err
}

// Queue returns what waits for a subscription.
func (d *Directory) Queue(ctx context.Context, name string) (q QueueState, err error) {
	err = d.repeat(ctx, http.MethodGet, subscriptionPath(name, "queue"), nil, &q)
	return q, err
}

// Publish publishes a message, as the publisher.
func (d *Directory) Publish(ctx context.Context, e DirectoryEvent) error {
	e.Sequence, e.Delivered = 0, 0
	_, err := d.do(ctx, http.MethodPost, "/v1/messages", e, nil)
	return err
}

// MaxBatch is how many messages one PublishAll takes at most.
const MaxBatch = 100

// PublishAll publishes up to MaxBatch messages in this order, all or none, as the publisher.
func (d *Directory) PublishAll(ctx context.Context, all []DirectoryEvent) error {
	for i := range all {
		all[i].Sequence, all[i].Delivered = 0, 0
	}
	_, err := d.do(ctx, http.MethodPost, "/v1/messages/batch", map[string]any{"messages": all}, nil)
	return err
}

// Next waits for the next message of the client's own subscription. Without one it is nil, and
// reason says why: empty, prefill-pending, prefill-failed or in-flight.
func (d *Directory) Next(ctx context.Context, wait time.Duration) (e *DirectoryEvent, reason string, err error) {
	query := url.Values{"timeout": {strconv.FormatFloat(wait.Seconds(), 'f', -1, 64)}}
	header, err := d.do(ctx, http.MethodGet, subscriptionPath(d.Username, "messages", "next")+"?"+query.Encode(), nil, &e)
	return e, header.Get("X-Queue-Reason"), err
}

// Acknowledge says that a message is handled.
func (d *Directory) Acknowledge(ctx context.Context, sequence uint64) error {
	return d.status(ctx, sequence, map[string]any{"status": "ok"})
}

// Retry gives a message back, to be delivered again after a pause.
func (d *Directory) Retry(ctx context.Context, sequence uint64, pause time.Duration) error {
	return d.status(ctx, sequence, map[string]any{"status": "retry", "after": pause.Seconds()})
}

// Working keeps a message from being delivered again for so long.
func (d *Directory) Working(ctx context.Context, sequence uint64, pause time.Duration) error {
	return d.status(ctx, sequence, map[string]any{"status": "working", "after": pause.Seconds()})
}

// Bury makes a message a dead letter.
func (d *Directory) Bury(ctx context.Context, sequence uint64, reason string) error {
	return d.status(ctx, sequence, map[string]any{"status": "dead", "reason": reason})
}

func (d *Directory) status(ctx context.Context, sequence uint64, body any) error {
	path := subscriptionPath(d.Username, "messages", strconv.FormatUint(sequence, 10), "status")
	_, err := d.do(ctx, http.MethodPatch, path, body, nil)
	return err
}

// RestartPrefill makes a subscription get all objects that exist again.
func (d *Directory) RestartPrefill(ctx context.Context, name string) error {
	_, err := d.do(ctx, http.MethodPost, subscriptionPath(name, "prefill", "restart"), nil, nil)
	return err
}

// Rewind makes a subscription get what was published since then again.
func (d *Directory) Rewind(ctx context.Context, name string, since time.Time) error {
	return d.rewind(ctx, name, map[string]any{"since": since.UTC().Format(time.RFC3339Nano)})
}

// RewindTo makes a subscription get the messages from a number in the log of all messages on again.
func (d *Directory) RewindTo(ctx context.Context, name string, from uint64) error {
	return d.rewind(ctx, name, map[string]any{"from": from})
}

func (d *Directory) rewind(ctx context.Context, name string, from any) error {
	_, err := d.do(ctx, http.MethodPost, subscriptionPath(name, "rewind"), from, nil)
	return err
}
