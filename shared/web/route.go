package web

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web/openapi"
)

// Route is one operation of a service: a literal in the table of its api package.
type Route struct {
	Method      string // GET, POST, PUT, PATCH or DELETE
	Path        string // "/users/:id"
	Op          string // OpenAPI operation id, unique; the name in logs, metrics, the audit log
	Summary     string // one line for people
	Doc         string // more about it for the document, in full sentences; may be empty
	Permission  Permission
	Limit       Limit
	Status      int                // of success; 0 means 200
	Audit       string             // "user.create": the audit action; a route that changes something must have one
	Reads       bool               // a POST that changes nothing (a dry run): it needs no Audit
	Internal    bool               // served, but not in the OpenAPI document
	MaxBody     int64              // bytes of body; 0 means DefaultMaxBody
	ShowsSecret bool               // its answer shows a secret once: no repeat under an Idempotency-Key sees it again
	Wait        time.Duration      // how long the answer may take; 0 means writeTimeout
	Lasts       bool               // it is answered when something happens (a long poll, a socket): its time is no latency
	Example     string             // of an output that is Text, for the document
	Examples    map[string]string  // by member of its input or output, where services differ: instead of the tag, for the document
	Refuses     []fault.Kind       // what its handler may refuse beyond what follows from this literal, for the document
	Produces    string             // content type of an output that is Raw, for the document
	Speaks      *openapi.StreamDoc // what a Stream says, for the document
	Face        *Face              // another wire format; nil is the envelope
	Handle      Handler            // made by To
	Stream      http.Handler       // instead of Handle, for /ws and /metrics: not enveloped, not bound
}

// DefaultMaxBody is the limit of a request body where the route says nothing (decision 20).
const DefaultMaxBody = 1 << 20

// Limit is the group of the rate limits that a route counts in.
type Limit uint8

// The groups (contracts/platform.md 1.9).
const (
	General        Limit = iota // by user; by IP where nobody is signed in
	Authentication              // by IP
	Batch                       // by user
	Free                        // not limited
)

// Permission says who may use a route. The zero value is none: such a route is a construction
// error.
type Permission struct {
	kind     permissionKind
	action   string
	resource string
	service  string
	machines bool // an API token is taken too
}

type permissionKind uint8

const (
	permitNothing permissionKind = iota
	permitOpen
	permitAuthenticated
	permitPolicy
	permitService
)

// Open lets everybody in; a token is not looked at.
func Open() Permission { return Permission{kind: permitOpen} }

// Authenticated lets in who has a good token of a person. An API token is refused, because no
// policy is asked that its scope could bound; see WithAPITokens.
func Authenticated() Permission { return Permission{kind: permitAuthenticated} }

// WithAPITokens returns p for a route that takes API tokens as well: its handler asks Require about
// all that it shows or changes, but for who asks.
func (p Permission) WithAPITokens() Permission {
	p.machines = true
	return p
}

// PersonOnly returns p for a route that no API token may use, whatever its scope (decision 53).
func (p Permission) PersonOnly() Permission {
	p.machines = false
	return p
}

// Allow lets in the persons, and the API tokens within their scope, whom the policies allow action
// on the resources of that type (a plural noun). The resources are what the input's Resources says;
// else the route's only path parameter is the name.
func Allow(action, resourceType string) Permission {
	return Permission{kind: permitPolicy, action: action, resource: resourceType, machines: true}
}

// Service lets in only the named service ("orchestrator"), with a service token.
func Service(name string) Permission { return Permission{kind: permitService, service: name} }

// Takes returns the kind of token that lets somebody in; empty in an open route, which looks at
// none.
func (p Permission) Takes() token.Kind {
	switch p.kind {
	case permitAuthenticated, permitPolicy:
		return token.Access
	case permitService:
		return token.Service
	}
	return ""
}

// String returns the permission as the tables in tests show it: "open", "authenticated",
// "create users", "service:orchestrator".
func (p Permission) String() string {
	switch p.kind {
	case permitOpen:
		return "open"
	case permitAuthenticated:
		return "authenticated"
	case permitPolicy:
		return p.action + " " + p.resource
	case permitService:
		return "service:" + p.service
	}
	return "none"
}

// Mutates says whether the route changes something, and so leaves an audit entry.
func (r Route) Mutates() bool { return !r.Reads && r.Method != http.MethodGet }

// idempotent says whether the route honours an Idempotency-Key (decision 50): every one that
// changes something for somebody who is known.
func (r Route) idempotent() bool {
	return r.Mutates() && r.Permission.kind != permitOpen && !r.Internal && r.Stream == nil && r.Handle.out != reflect.TypeFor[Pieces]()
}

// outlivesClient says whether the route goes on when its client leaves: a change that somebody with
// a name asked for is carried out, put in force and settled, whoever still hears of it. A sign-in
// is not, so that who hangs up leaves nothing to work on; a route that waits does what it has to do
// before it waits, and a Stream is its client's.
func (r Route) outlivesClient() bool {
	return r.Mutates() && r.Wait == 0 && r.Permission.kind != permitOpen && r.Stream == nil
}

func (r Route) status() int {
	if r.Status == 0 {
		return http.StatusOK
	}
	return r.Status
}

// check returns what is wrong with the literal; the table is refused as a whole.
func (r Route) check() error {
	at := func(format string, args ...any) error {
		return fmt.Errorf("route %s %s (%s): %s", r.Method, r.Path, r.Op, fmt.Sprintf(format, args...))
	}
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return at("method is not one of GET, POST, PUT, PATCH, DELETE")
	}
	switch {
	case !strings.HasPrefix(r.Path, "/") || (len(r.Path) > 1 && strings.HasSuffix(r.Path, "/")):
		return at("path must begin with a slash and not end with one")
	case r.Op == "":
		return at("has no operation id")
	case r.Permission.kind == permitNothing:
		return at("has no permission")
	case r.Mutates() && r.Audit == "":
		return at("changes something and has no audit action")
	case (r.Stream == nil) == (r.Handle.call == nil):
		return at("needs exactly one of Handle and Stream")
	case r.ShowsSecret && r.idempotent() && !r.Handle.out.Implements(reflect.TypeFor[shownOnce]()):
		return at("shows a secret once: its output needs Object() string, which names what the secret is of")
	}
	return nil
}

// parameters returns the names of the path parameters, in order.
func (r Route) parameters() []string {
	var names []string
	for part := range strings.SplitSeq(r.Path, "/") {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			names = append(names, name)
		} else if name, ok := strings.CutPrefix(part, "*"); ok {
			names = append(names, name)
		}
	}
	return names
}
