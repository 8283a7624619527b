// Package fault is the error story of both programs: an error that a caller can act on carries a
// kind (what class of thing went wrong), a stable dotted code (what exactly), and a message that is
// safe to show to the person who asked. Everything else stays an ordinary wrapped error and is, for
// the outside, an internal fault whose text is never shown.
//
// The one rule: a fault's Message never holds a secret, a file name of the server or a stack.
package fault

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Kind is the class of a fault. web turns kinds into statuses, the command lines into exit codes;
// nobody else interprets them.
type Kind uint8

// The kinds, in the order of the status table (contracts/platform.md 1.1).
const (
	Internal        Kind = iota // a fault of ours; the text says nothing of internals
	Malformed                   // not JSON, a query value that cannot be parsed: 400
	Unauthenticated             // no token or no good one; login refused: 401
	Denied                      // the token is good, role or policy refuses: 403
	NotFound                    // unknown path or id: 404
	MethodUnknown               // known path, other method: 405
	NotAcceptable               // only versions that do not exist are accepted: 406
	Conflict                    // the state does not allow it, or somebody was faster: 409
	Gone                        // it was there and is not any more: 410
	TooLarge                    // more bytes than allowed: 413
	MediaType                   // a body in a format that is not served: 415
	Invalid                     // well-formed, but the content is wrong: 422
	Throttled                   // too many requests: 429
	Unavailable                 // starting, draining, store away, outcome unknown: 503
)

// Field is one thing that is wrong with an input: Pointer is an RFC 6901 JSON pointer (or a query
// parameter's name), Message says what is wrong and what would be right.
type Field struct {
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

// Error is a fault. Build one with New; the fields are read-only afterwards.
type Error struct {
	Kind       Kind
	Code       string        // stable, dotted, lower case: "batch.unknown_dependency"
	Message    string        // for the person who asked: what, why, what to do next
	Fields     []Field       // all faults of an input at once; empty when there is just the message
	RetryAfter time.Duration // when a retry makes sense; 0 when unknown
	Err        error         // the cause, for the log only; may be nil

	pattern string // Message before its arguments were filled in; empty: there were none
}

// New returns a fault of the given kind with a stable code and a message that is safe to show. The
// message is formatted with args as by fmt.Sprintf.
func New(kind Kind, code, message string, args ...any) *Error {
	if len(args) == 0 {
		return &Error{Kind: kind, Code: code, Message: message}
	}
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(message, args...), pattern: message}
}

// Because returns a copy of e that carries cause for the log; the shown message stays the same.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Err = cause
	return &c
}

// With returns a copy of e that names the given fields.
func (e *Error) With(fields ...Field) *Error {
	c := *e
	c.Fields = append(append([]Field(nil), e.Fields...), fields...)
	return &c
}

// After returns a copy of e that says when a retry makes sense.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Error returns the message and, for the log, the cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// LogText returns the text of err for the log, which more people read than the answer. A person may
// send a secret where an id belongs, and the answer shows it to that person again; the log does
// not. LogText has the message of a fault without what was filled in, and the cause only when the
// fault is none of the caller. rest gives the text of what is no fault, and of a cause.
func LogText(err error, rest func(error) string) string {
	f := Of(err)
	switch {
	case f == nil:
		return rest(err)
	case f.Err == nil || f.Kind != Internal && f.Kind != Unavailable:
		return f.unfilled()
	}
	return f.unfilled() + ": " + LogText(f.Err, rest)
}

// unfilled returns the message with "…" for each value that was filled in.
func (e *Error) unfilled() string {
	if e.pattern == "" {
		return e.Message
	}
	return verbs.ReplaceAllStringFunc(e.pattern, func(verb string) string {
		if verb == "%%" {
			return "%"
		}
		return "…"
	})
}

// verbs matches what fmt.Sprintf fills in.
var verbs = regexp.MustCompile(`%[-+# 0-9.*\[\]]*[a-zA-Z%]`)

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Wrap returns err with the operation in front of its text, keeping its kind and code; nil for nil.
func Wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, err)
}

// Of returns the fault inside err, or nil when there is none.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// KindOf returns the kind of the fault inside err; Internal when there is none.
func KindOf(err error) Kind {
	if e := Of(err); e != nil {
		return e.Kind
	}
	return Internal
}

// Is says whether err carries a fault of the given kind.
func Is(err error, kind Kind) bool {
	e := Of(err)
	return e != nil && e.Kind == kind
}

// CodeOf returns the stable code of the fault inside err; "internal" when there is none.
func CodeOf(err error) string {
	if e := Of(err); e != nil {
		return e.Code
	}
	return "internal"
}
