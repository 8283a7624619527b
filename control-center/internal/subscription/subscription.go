package subscription

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/store"
)

// Limits of a subscription.
const (
	MaxTopics   = 100
	maxTopic    = 512         // bytes of a realm or a topic
	maxPassword = 1024        // bytes, as of an account
	MaxWindow   = 100         // Options.MaxInFlight at most
	Redelivery  = time.Second // Options.Redelivery when it is not given (contract 2.3)
	maxVisible  = 12 * time.Hour
)

// Topic is what a subscription wants: the messages of one topic of a realm, or, when Topic ends in
// *, of all topics that begin with what stands before it. ".*" at the end, the form in which the
// original prefills, means the same.
type Topic struct {
	Realm string `json:"realm"`
	Topic string `json:"topic"`
}

// Options say how a queue delivers. The zero value delivers as the original does: one message in
// flight, again after one second, without end.
type Options struct {
	MaxDeliveries int `json:"max_deliveries,omitempty"` // a message is a dead letter after so many; 0 is never
	MaxInFlight   int `json:"max_in_flight,omitempty"`  // 0 is 1
	RedeliveryMS  int `json:"redelivery_ms,omitempty"`  // milliseconds until an unacknowledged message comes again; 0 is Redelivery
	// Strict refuses to acknowledge what was not delivered. Without it each of the
	// oldest MaxInFlight messages can be acknowledged, as in the original.
	Strict bool `json:"strict,omitempty"`
}

// window is how many messages may be in flight.
func (o Options) window() int { return max(1, o.MaxInFlight) }

// redelivery is how long a delivered message is waited for.
func (o Options) redelivery() time.Duration {
	if o.RedeliveryMS == 0 {
		return Redelivery
	}
	return time.Duration(o.RedeliveryMS) * time.Millisecond
}

// Route says which topics a subscription wants of the messages behind number From, up to From of
// the next route. There are several after Topics were edited, while messages from before still
// wait.
type Route struct {
	From   uint64  `json:"from"`
	Topics []Topic `json:"topics"`
}

// Subscription is a consumer's wish, as stored. Fields stand in the order of their JSON names.
type Subscription struct {
	Created        time.Time   `json:"created"`
	Filter         []Condition `json:"filter,omitempty"` // what is not wanted of Topics is passed over
	Generation     string      `json:"generation"`       // another one after delete and create with the same name
	Name           string      `json:"name"`
	Options        Options     `json:"options"`
	PasswordHash   string      `json:"password_hash"`    // user.Hasher
	Redact         []string    `json:"redact,omitempty"` // paths of members that are left out of deliveries
	RequestPrefill bool        `json:"request_prefill"`
	Routes         []Route     `json:"routes"` // not empty; the last one is in force
}

// Topics returns what the subscription wants now.
func (s *Subscription) Topics() []Topic { return s.Routes[len(s.Routes)-1].Topics }

var subscriptions = store.Table[Subscription]{Kind: "subscription", ID: func(s Subscription) string { return s.Name }}

// ErrUnknown is the answer to a name that no subscription has.
var ErrUnknown = fault.New(fault.NotFound, "subscription.not_found", "there is no subscription with this name")

// ErrDiffers is the answer to a name that exists with other parameters.
var ErrDiffers = fault.New(fault.Conflict, "subscription.differs",
	"a subscription with this name exists with other topics, another prefill flag or another password; choose another name, or delete "+
		"it first")

// Draft describes a subscription to create.
type Draft struct {
	Name           string
	Topics         []Topic
	RequestPrefill bool
	Password       string
	Options        Options
	Filter         []Condition
	Redact         []string
}

// nameRule is what the manual of the original says of names (contract 1.4).
var nameRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)

// ValidName says whether a subscription can have that name.
func ValidName(name string) bool { return nameRule.MatchString(name) }

// Check returns one Invalid fault that names every member of d that is wrong, or nil.
func (d *Draft) Check() error {
	var wrong []fault.Field
	add := func(pointer, message string, args ...any) {
		wrong = append(wrong, fault.Field{Pointer: pointer, Message: fmt.Sprintf(message, args...)})
	}
	if !nameRule.MatchString(d.Name) {
		add("/name", "the name must begin with a letter or a digit and hold only A-Z a-z 0-9 _ -, at most 128 of them")
	}
	if len(d.Topics) > MaxTopics {
		add("/realms_topics", "a subscription has at most %d topics; this one has %d", MaxTopics, len(d.Topics))
	}
	for i, t := range d.Topics {
		for member, text := range map[string]string{"realm": t.Realm, "topic": t.Topic} {
			if len(text) > maxTopic {
				add(fmt.Sprintf("/realms_topics/%d/%s", i, member), "the %s has more than %d bytes", member, maxTopic)
			} else if why := naming.Free(text); why != "" {
				add(fmt.Sprintf("/realms_topics/%d/%s", i, member), "the %s %s", member, why)
			}
		}
	}
	if len(d.Password) > maxPassword {
		add("/password", "the password has more than %d bytes", maxPassword)
	}
	o := d.Options
	if o.MaxInFlight < 0 || o.MaxInFlight > MaxWindow {
		add("/options/max_in_flight", "max_in_flight must be 1 to %d", MaxWindow)
	}
	if o.RedeliveryMS < 0 || time.Duration(o.RedeliveryMS)*time.Millisecond > maxVisible {
		add("/options/redelivery_ms", "redelivery_ms must be 1 to %d", maxVisible.Milliseconds())
	}
	if o.MaxDeliveries < 0 {
		add("/options/max_deliveries", "max_deliveries must not be negative; 0 means without end")
	}
	checkChoice(d.Filter, d.Redact, add)
	if len(wrong) == 0 {
		return nil
	}
	slices.SortFunc(wrong, func(a, b fault.Field) int { return strings.Compare(a.Pointer, b.Pointer) })
	return fault.New(fault.Invalid, "subscription.invalid", "the subscription is not valid").With(wrong...)
}

// sameTopics says whether two lists want the same: order and repetition do not matter (contract
// 2.1).
func sameTopics(a, b []Topic) bool {
	return slices.Equal(sortedTopics(a), sortedTopics(b))
}

func sortedTopics(topics []Topic) []Topic {
	sorted := slices.Clone(topics)
	slices.SortFunc(sorted, func(a, b Topic) int {
		return cmp.Or(strings.Compare(a.Realm, b.Realm), strings.Compare(a.Topic, b.Topic))
	})
	return slices.Compact(sorted)
}
