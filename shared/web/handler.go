package web

import (
	"context"
	"reflect"
	"time"

	"github.com/provisioning-platform/platform/shared/id"
)

// Handler is a typed function of a route. Make one with To.
type Handler struct {
	in, out reflect.Type
	says    string // the answer, when it is always the same
	fresh   func() any
	call    func(ctx context.Context, in any) (any, error)
}

// To adapts a typed function: In is bound from path, query, headers and body, Out becomes the
// answer. In must be a struct; None when there is no input. An error that is no fault is a 500
// without its text.
func To[In, Out any](fn func(context.Context, In) (Out, error)) Handler {
	return Handler{
		in:    reflect.TypeFor[In](),
		out:   reflect.TypeFor[Out](),
		fresh: func() any { return new(In) },
		call:  func(ctx context.Context, in any) (any, error) { return fn(ctx, *in.(*In)) },
	}
}

// Do adapts a function whose success has always the same answer: says, a sentence for people.
func Do[In any](says Notice, fn func(context.Context, In) error) Handler {
	h := To(func(ctx context.Context, in In) (Notice, error) {
		Answering(ctx, says)
		return says, fn(ctx, in)
	})
	h.says = string(says)
	return h
}

// None is an input without members.
type None struct{}

// Notice is an output that is a bare text in the envelope: "data": "Operation cancelled".
type Notice string

// Raw is an output that leaves the envelope aside: a key set, a document, a download.
type Raw struct {
	ContentType string
	Body        []byte
	MaxAge      time.Duration     // how long it may be cached; 0 means not at all
	Headers     map[string]string // over those that every answer has
}

// ETag tells the states of what may be cached apart; empty for what may not.
func (r Raw) ETag() string {
	if r.MaxAge == 0 {
		return ""
	}
	return id.Digest(r.Body)[:32]
}
