package change

import (
	"encoding/json"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// Stream is the name of the stream of events in the control-center's store.
const Stream = "events"

// Event is one thing that happened, as it is stored. Fields stand in the order of their JSON names,
// and the members data, event_type and timestamp are those of the orchestrator's events.
type Event struct {
	Actor     Actor  `json:"actor"`
	Data      Data   `json:"data"`
	Type      Type   `json:"event_type"`
	ID        string `json:"id"`
	ObjectID  string `json:"object_id,omitempty"` // of the noun in Type; empty when it is not known
	Timestamp string `json:"timestamp"`           // instant.Layout
}

// Actor is who made an event happen: the actor of the audit entry in the same commit.
type Actor struct {
	ID       string `json:"id,omitempty"` // user id, or "service:<name>"; empty when nobody is known
	IP       string `json:"ip,omitempty"`
	Username string `json:"username,omitempty"`
}

// Data says more about an event. It is a struct and no map, so that a secret has no member to stand
// in: passwords, codes, tokens, keys and e-mail addresses are in no event. Fields stand in the
// order of their JSON names.
type Data struct {
	AMR       []string `json:"amr,omitempty"`        // what the sign-in has shown: pwd, otp, rc
	Changed   []string `json:"changed,omitempty"`    // members that are other ones: email, roles
	CodesLeft *int     `json:"codes_left,omitempty"` // recovery codes that are not used yet
	Delivery  string   `json:"delivery_id,omitempty"`
	Enabled   *bool    `json:"enabled,omitempty"`
	Name      string   `json:"name,omitempty"` // of a policy, a service, an API token, or the event of a delivery
	Reason    string   `json:"reason,omitempty"`
	Roles     []string `json:"roles,omitempty"`
	UserID    string   `json:"user_id,omitempty"` // whose session or API token it is
	Username  string   `json:"username,omitempty"`
	Version   uint64   `json:"version,omitempty"` // of the set of policies since this event
}

// emit appends the events to the transaction, each with an id of its own.
func emit(tx *store.Tx, by audit.Actor, now time.Time, events []Event) error {
	for _, e := range events {
		e.Actor = Actor{ID: by.Sub, IP: by.IP, Username: by.Username}
		e.ID, e.Timestamp = id.At(now), instant.Format(now)
		body, err := canonical.Make(e)
		if err != nil {
			return err
		}
		tx.Append(Stream, body)
	}
	return nil
}

// Emit appends one event to a transaction that another package commits with an audit entry of its
// own: the record of a fork (audit.ForkOptions.Change). Everybody else calls Act.Emit.
func Emit(tx *store.Tx, t Type, objectID string, d Data) error {
	return emit(tx, audit.ContextOf(tx.Context()).Actor, time.Now(), []Event{{Type: t, ObjectID: objectID, Data: d}})
}

// Class returns what retention removes of the stream: the oldest events, by age and number.
func Class(db store.DB, rule retention.KeepRule) retention.Class {
	return retention.Stream(db, Stream, rule, func(body []byte) (time.Time, bool) {
		var e struct{ Timestamp time.Time }
		err := json.Unmarshal(body, &e)
		return e.Timestamp, err == nil
	})
}
