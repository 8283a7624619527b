package webhook

import (
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/store"
)

// Limits of deliveries.
const (
	maxPending  = 1000 // of an endpoint: its follower waits then, and the stream keeps what comes
	maxSettled  = 1000 // of an endpoint that are kept for each of delivered and dead; the oldest go first
	maxAttempts = 20   // kept in a delivery, the newest
	MaxRange    = 1000 // sequences of one redelivery of a range
)

// Stage says what became of a delivery.
type Stage string

// The stages of a delivery.
const (
	Pending   Stage = "pending"
	Delivered Stage = "delivered"
	Dead      Stage = "dead" // given up: its cause says why
)

// Attempt is one request that was made for a delivery. Nothing of the answer but its status is
// kept, so that nobody reads through a webhook what only this service can reach.
type Attempt struct {
	At     time.Time `json:"at"`
	Error  string    `json:"error,omitempty"`
	Status int       `json:"status,omitempty"` // of the answer; 0 when there was none
	Took   int64     `json:"took"`             // milliseconds
}

// Message is what an entry of the stream means to receivers.
type Message struct {
	Event string // a name of Config.Events
	At    time.Time
	Data  []byte // a JSON object without blanks
}

// payload returns the body of a delivery without its signature, in the order of the contract (I20).
func (m Message) payload() string {
	var w canonical.Writer
	w.Begin()
	w.Always("event", m.Event)
	w.Instant("timestamp", m.At)
	w.JSON("data", m.Data)
	w.End()
	return string(w.Body().Bytes())
}

// Delivery is an event on its way to an endpoint. Its key begins with the endpoint and goes on with
// the sequence, so that the newest are found without an index and no entry is queued twice.
type Delivery struct {
	At       time.Time `json:"at"` // of the event
	Attempts []Attempt `json:"attempts,omitempty"`
	Cause    string    `json:"cause,omitempty"` // of a dead one
	Endpoint string    `json:"endpoint"`
	Event    string    `json:"event"`
	ID       string    `json:"id"` // UUID; the same in all repetitions
	Key      string    `json:"key"`
	Next     time.Time `json:"next"` // when a pending one is tried
	Payload  string    `json:"payload"`
	Queued   time.Time `json:"queued"` // when its schedule began
	Seq      uint64    `json:"seq"`    // of the entry; of a test the newest one when it was made
	Stage    Stage     `json:"stage"`
	Tries    int       `json:"tries"` // since it was queued
}

const deliveryKind = "webhook_delivery"

// Deliveries is the table of deliveries: by endpoint and then by sequence.
var Deliveries = store.Table[Delivery]{Kind: deliveryKind, ID: func(d Delivery) string { return d.Key },
	Index: func(d Delivery) []store.IndexKey {
		keys := []store.IndexKey{{Name: "delivery", Value: d.ID}, {Name: "state", Value: stateKey(d.Endpoint, d.Stage)}}
		if d.Stage == Pending {
			keys = append(keys, store.IndexKey{Name: "due", Value: fmt.Sprintf("%s/%s/%020d", d.Endpoint, instant.Format(d.Next), d.Seq)})
		}
		return keys
	}}

func stateKey(endpoint string, s Stage) string { return endpoint + "/" + string(s) }

func deliveryKey(endpoint string, seq uint64) string { return fmt.Sprintf("%s/%020d", endpoint, seq) }

// newDelivery returns the delivery of the entry seq, which is the same however often it is made but
// for its times.
func newDelivery(endpoint string, seq uint64, m Message, now time.Time) Delivery {
	k := deliveryKey(endpoint, seq)
	return Delivery{
		At: m.At.UTC(), Endpoint: endpoint, Event: m.Event, ID: id.Derived(deliveryKind, k), Key: k, Next: now.UTC(), Payload: m.payload(),
		Queued: now.UTC(), Seq: seq, Stage: Pending,
	}
}

// again queues a delivery anew under its id; its attempts stay.
func (d *Delivery) again(now time.Time) {
	d.Stage, d.Cause, d.Tries, d.Next, d.Queued = Pending, "", 0, now.UTC(), now.UTC()
}

// note adds an attempt.
func (d *Delivery) note(a Attempt) {
	d.Tries++
	d.Attempts = append(d.Attempts, a)
	if extra := len(d.Attempts) - maxAttempts; extra > 0 {
		d.Attempts = d.Attempts[extra:]
	}
}
