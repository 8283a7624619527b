// Package obs is what a service shows of itself: structured log lines on stderr and metrics for
// Prometheus. It owns formats and names nothing; each package names its own metrics and lines. The
// one rule a caller must know: the logger is passed in, and what belongs to a request travels in
// its context (With), so that every line below carries it.
package obs

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/shared/instant"
)

// NewLogger returns a logger that writes one JSON object a line to w, with the service's name,
// times in UTC and the attributes of the context. Values under names that mean a secret are masked.
func NewLogger(w io.Writer, service string, level slog.Leveler) *slog.Logger {
	base := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: clean})
	return slog.New(handler{base.WithAttrs([]slog.Attr{slog.String("service", service)})})
}

// Discard returns a logger that writes nothing.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// clean puts times into UTC and durations into words, and masks what must not be logged, as a
// second line behind secret.Text.
func clean(_ []string, a slog.Attr) slog.Attr {
	switch {
	case a.Value.Kind() == slog.KindTime:
		a.Value = slog.StringValue(instant.Format(a.Value.Time()))
	case a.Value.Kind() == slog.KindDuration: // "50ms" says more than 50000000
		a.Value = slog.StringValue(a.Value.Duration().String())
	case sensitive(a.Key):
		a.Value = slog.StringValue("[secret]")
	}
	return a
}

func sensitive(key string) bool {
	switch strings.ToLower(key) {
	case "password", "token", "secret", "authorization", "mfa_code", "totp_secret", "private_key", "refresh_token":
		return true
	}
	return false
}

type attrsKey struct{}

// With returns a context whose log lines carry attrs, after those that ctx already has.
func With(ctx context.Context, attrs ...slog.Attr) context.Context {
	had, _ := ctx.Value(attrsKey{}).([]slog.Attr)
	return context.WithValue(ctx, attrsKey{}, append(slices.Clip(had), attrs...))
}

// handler adds the attributes of the context to each record.
type handler struct{ slog.Handler }

// Handle writes one record with the attributes of its context.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if attrs, ok := ctx.Value(attrsKey{}).([]slog.Attr); ok {
		r.AddAttrs(attrs...)
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the wrapper around the derived handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the wrapper around the derived handler.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
