package webhook

import "github.com/provisioning-platform/platform/shared/store"

// Occurrence is something that can happen to an endpoint.
type Occurrence uint8

// The occurrences.
const (
	Made     Occurrence = iota // an endpoint was made
	Changed                    // its URL, events, description or secret is another one
	Stopped                    // somebody paused it
	Halted                     // the service paused it by itself
	Went                       // it is sent to again
	Removed                    // it is gone with its deliveries
	Requeues                   // somebody asked for a test or a redelivery
	GaveUp                     // a delivery became a dead letter
)

// News is what happened to an endpoint. It holds neither its URL, whose query may be a secret, nor
// what was sent.
type News struct {
	Occurrence Occurrence
	Endpoint   string // id
	Reason     string // of Stopped, Halted and GaveUp
	Delivery   string // of GaveUp: id
	Event      string // of GaveUp: name
}

// announce appends what the service's stream says of n to the transaction of the change.
func (w *Webhooks) announce(tx *store.Tx, n News) error {
	if w.c.Announce == nil {
		return nil
	}
	return w.c.Announce(tx, n)
}
