package trace

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

// SpanContext says which span it is: its trace, its id, and whether the trace is recorded. The zero
// SpanContext is none, and nothing is recorded of it.
type SpanContext struct {
	trace   [16]byte
	span    [8]byte
	sampled bool
}

// Lengths of the parts of a traceparent of version 00 (W3C Trace Context, section 3.2).
const (
	traceDigits   = 32
	spanDigits    = 16
	contextLength = len("00-") + traceDigits + len("-") + spanDigits + len("-01")
)

// Parse reads the value of a traceparent header, as SpanContext.String writes it. It returns none
// for what is no such value: a caller's mistake starts a new trace and refuses nothing.
func Parse(text string) (p SpanContext) {
	if len(text) < contextLength || text[2] != '-' || text[35] != '-' || text[52] != '-' || text[:2] == "ff" {
		return SpanContext{}
	}
	if len(text) > contextLength && (text[:2] == "00" || text[contextLength] != '-') {
		return SpanContext{}
	}
	var version, flags [1]byte
	for _, part := range []struct {
		into []byte
		text string
	}{{version[:], text[:2]}, {p.trace[:], text[3:35]}, {p.span[:], text[36:52]}, {flags[:], text[53:55]}} {
		if !lower(part.text) {
			return SpanContext{}
		}
		if _, err := hex.Decode(part.into, []byte(part.text)); err != nil {
			return SpanContext{}
		}
	}
	p.sampled = flags[0]&1 == 1
	if p.trace == [16]byte{} || p.span == [8]byte{} {
		return SpanContext{}
	}
	return p
}

// lower says whether a text has no capital letter, which a traceparent must not.
func lower(text string) bool {
	for i := range len(text) {
		if c := text[i]; c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}

// String returns p as a traceparent; "" for none.
func (p SpanContext) String() string {
	if p.None() {
		return ""
	}
	flags := "-00"
	if p.sampled {
		flags = "-01"
	}
	return "00-" + hex.EncodeToString(p.trace[:]) + "-" + hex.EncodeToString(p.span[:]) + flags
}

// None says whether p is the zero SpanContext.
func (p SpanContext) None() bool { return p == SpanContext{} }

// Child returns the span below p that key names: always the same, so that a process knows the spans
// that its predecessor began. None has no children.
func (p SpanContext) Child(key string) SpanContext {
	if p.None() {
		return p
	}
	sum := sha256.Sum256(append(append(append(make([]byte, 0, 64), p.trace[:]...), p.span[:]...), key...))
	p.span = [8]byte(sum[:8])
	return p
}

// fresh returns the root of a new trace, with random ids.
func fresh(sampled bool) SpanContext {
	p := SpanContext{sampled: sampled}
	_, _ = rand.Read(p.trace[:]) // never fails
	_, _ = rand.Read(p.span[:])
	return p
}

type spanKey struct{}

// With returns a context in which At returns p.
func With(ctx context.Context, p SpanContext) context.Context {
	return context.WithValue(ctx, spanKey{}, p)
}

// At returns the span of the work that ctx belongs to; none when it has none.
func At(ctx context.Context) SpanContext {
	p, _ := ctx.Value(spanKey{}).(SpanContext)
	return p
}
