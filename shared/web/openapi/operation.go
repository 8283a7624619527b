package openapi

import (
	"reflect"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web/body"
)

// Document is what a service says about itself and its operations.
type Document struct {
	Service     string // "control-center": the shell variable of its address in curl lines is CONTROL_CENTER
	Title       string
	Version     string // of the program; empty means v1
	Description string
	Nouns       []Noun // the groups of the document, the main ones first
	Operations  []RouteDoc
	Status      func(fault.Kind) int // the HTTP status of a kind of refusal
	Basic       bool                 // who asks is a user name with a password; false: a token
	Types       [2]string            // content types of an enveloped answer; bodies have the first one
}

// RouteDoc is one operation of a service as its route declares it.
type RouteDoc struct {
	Method, Path, ID string // "GET", "/users/:id", "getUser"
	Summary, Doc     string
	Permission       string   // as the table of routes shows it
	Open             bool     // it needs no token
	Notes            []string // who may do it and how often, in sentences
	Audit            string   // the audit action; empty when it leaves none
	ShowsSecret      bool
	IdempotencyKey   int // most bytes of its Idempotency-Key; 0 when it takes none
	Parameters       []Parameter
	Body             *body.Shape // nil when it takes none
	Status           int         // of success
	Output           reflect.Type
	Page             bool                 // it answers with rows of Output
	Raw              bool                 // its answer has no envelope
	Bare             bool                 // its answer is Output and nothing around it, null without an Output
	StatusOf         func(fault.Kind) int // of its refusals, where that is not the document's
	Produces         string               // content type of a raw answer
	Stream           *StreamDoc           // of a raw answer: what it says
	Example          string               // of an answer that is a text
	Examples         map[string]string    // by member of Output: instead of the tag
	Refuses          []fault.Kind         // all kinds that it may refuse with
}

// Parameter is a parameter of an operation. In is "path", "query" or "header".
type Parameter struct {
	In string
	*body.Member
}

// Noun is a group of operations in the document and on its page.
type Noun struct {
	Name  string   // "Batches"
	Doc   string   // what it is, in a sentence or two
	Paths []string // how the paths of its operations begin: "batch", "v1/messages"; the longest that fits counts
}

// StreamDoc describes a Stream for the document, because the server neither binds nor encodes it.
type StreamDoc struct {
	Query   any            // a struct with query tags; nil when it takes no parameters
	Status  int            // of an answer that is no refusal; 0 means 200
	Type    string         // its content type, when it has a body
	Doc     string         // what the answer is
	Sends   []any          // the messages of a socket, each as its struct
	Hears   []any          // the messages that a client may send
	Closes  map[int]string // the codes with which the service closes a socket, and when
	Refuses []fault.Kind   // beyond what every route of this kind may refuse
}
