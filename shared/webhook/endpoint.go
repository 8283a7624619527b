package webhook

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/store"
)

// Limits of endpoints.
const (
	MaxEndpoints   = 100
	maxURL         = 2048             // bytes
	maxDescription = 4 << 10          // bytes (decision 20)
	minKey, maxKey = 24, 64           // bytes of the key of a secret that comes over the API (Standard Webhooks)
	maxSecret      = 256              // bytes of the text of any secret
	Overlap        = 24 * time.Hour   // how long the secret before the newest stays valid
	generated      = 32               // random bytes of a secret that is made here
	FileOwner      = "service:config" // owns the endpoints of the configuration (decision 54)
)

// Condition says whether an endpoint is sent to.
type Condition string

// The conditions of an endpoint.
const (
	Active Condition = "active"
	Paused Condition = "paused"
)

// SealedSecret is a secret under the key of the data folder.
type SealedSecret struct {
	Expires *time.Time `json:"expires,omitempty"` // nil for the newest
	Made    time.Time  `json:"made"`
	Sealed  string     `json:"sealed"`
}

// Endpoint is a receiver and what it wants to hear. Its secrets are sealed; no view shows them.
type Endpoint struct {
	Condition   Condition      `json:"condition"`
	Created     time.Time      `json:"created"`
	Description string         `json:"description,omitempty"`
	Events      []string       `json:"events"` // sorted names, not empty
	ID          string         `json:"id"`
	Owner       string         `json:"owner"` // id of the user that made it, or FileOwner
	PausedAt    *time.Time     `json:"paused_at,omitempty"`
	Reason      string         `json:"reason,omitempty"` // why it is paused
	Secrets     []SealedSecret `json:"secrets,omitempty"`
	Token       string         `json:"token,omitempty"` // id of the API token that Owner used; it is sent to while that is good
	Updated     time.Time      `json:"updated"`
	URL         string         `json:"url"`
}

// Maker is who made or changed an endpoint last: whose rights decide what it is sent.
type Maker struct {
	ID    string // of the account, or FileOwner
	Token string // id of the API token that the account used; empty for a person's session
}

// Maker returns who made or changed the endpoint last.
func (e *Endpoint) Maker() Maker { return Maker{ID: e.Owner, Token: e.Token} }

// belong makes the endpoint that of m.
func (e *Endpoint) belong(m Maker) { e.Owner, e.Token = m.ID, m.Token }

// FromFile says whether the configuration owns the endpoint, so that it changes only there.
func (e *Endpoint) FromFile() bool { return e.Owner == FileOwner }

// wants says whether the endpoint asked for an event.
func (e *Endpoint) wants(event string) bool {
	_, ok := slices.BinarySearch(e.Events, event)
	return ok
}

// endpointKind is also the kind under which secrets are sealed.
const endpointKind = "webhook"

// Endpoints is the table of endpoints.
var Endpoints = store.Table[Endpoint]{Kind: endpointKind, ID: func(e Endpoint) string { return e.ID }}

// Kinds are the document kinds of this package, for the schema of a service.
func Kinds() []store.Kind {
	return []store.Kind{{Name: Endpoints.Kind},
		{Name: deliveryKind, Indexes: []string{"delivery", "due", "state"}, Counted: []string{"state"}}}
}

// Cursor returns the name of the follower of an endpoint.
func Cursor(endpoint string) string { return endpointKind + "/" + endpoint }

// startAt returns the cursor of a new endpoint, which hears what comes behind head.
func startAt(endpoint, stream string, head uint64) feed.Cursor {
	return feed.Cursor{Name: Cursor(endpoint), Seq: head, Stream: stream}
}

// Faults of a wish for an endpoint, with what would be right.
func badField(pointer, message string, args ...any) error {
	f := fault.New(fault.Invalid, "webhook.invalid", message, args...)
	return f.With(fault.Field{Pointer: pointer, Message: f.Message})
}

// CheckURL returns why a URL cannot be sent to; nil when it can. An address in it is checked at
// once, a name when it is dialled.
func (g *Guard) CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURL:
		return badField("/url", "the URL has more than %d bytes", maxURL)
	case err != nil || u.Hostname() == "" || u.Opaque != "" || (u.Scheme != "http" && u.Scheme != "https"):
		return badField("/url", "url must be an absolute URL with http or https, such as https://example.com/hook")
	case u.User != nil:
		return badField("/url", "url must hold no user and no password: the signature shows who sends")
	case u.Fragment != "":
		return badField("/url", "url must hold no fragment (the part behind #): it is never sent")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := g.Check(addr); err != nil {
			return badField("/url", "%s", err.Error())
		}
	}
	return nil
}

// CheckEvents returns names sorted and each once, or why they cannot be asked for: there is none,
// or known does not hold one.
func CheckEvents(names, known []string) ([]string, error) {
	if len(names) == 0 {
		return nil, badField("/events", "events must name at least one of %s", strings.Join(known, ", "))
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, badField("/events", "there is no event %.60q; known are %s", n, strings.Join(known, ", "))
		}
	}
	out := slices.Clone(names)
	slices.Sort(out)
	return slices.Compact(out), nil
}

func checkDescription(text string) error {
	if len(text) > maxDescription {
		return badField("/description", "the description has more than %d bytes", maxDescription)
	}
	if why := naming.Free(text); why != "" {
		return badField("/description", "the description %s", why)
	}
	return nil
}

// CheckSecret returns why a text cannot be a secret of the configuration; nil when it can. Contract
// I20 prints one that is any text.
func CheckSecret(text string) error {
	switch {
	case text == "" || len(text) > maxSecret:
		return badField("/secret", "the secret must have 1 to %d bytes", maxSecret)
	case strings.HasPrefix(text, secretPrefix) && string(key(text)) == text:
		return badField("/secret", "behind whsec_ stands base64 (Standard Webhooks); this is none")
	}
	return nil
}

// checkStandardSecret returns why a text cannot be a secret that comes over the API: it is none of
// Standard Webhooks.
func checkStandardSecret(text string) error {
	if n := len(key(text)); !strings.HasPrefix(text, secretPrefix) || CheckSecret(text) != nil || n < minKey || n > maxKey {
		return badField("/secret", "the secret must be whsec_ and the base64 of %d to %d bytes (Standard Webhooks); without one the "+
			"service makes a good one", minKey, maxKey)
	}
	return nil
}
