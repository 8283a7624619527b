package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/api"
	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/orchestrator/internal/rights"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/webhook"
)

// Webhooks configures what is sent to receivers over HTTP (decision 65).
type Webhooks struct {
	Enabled   bool              `toml:"enabled"`
	Allow     []netip.Prefix    `toml:"allow"`   // networks that may be dialled although they are not public
	Timeout   config.Duration   `toml:"timeout"` // of one attempt
	Retry     []config.Duration `toml:"retry"`   // pauses between attempts
	Endpoints []WebhookEndpoint `toml:"endpoints"`
}

// WebhookEndpoint is a receiver that the file names.
type WebhookEndpoint struct {
	URL        hookURL     `toml:"url"`
	Events     []hookEvent `toml:"events"`
	Secret     hookSecret  `toml:"secret"`
	SecretFile config.Path `toml:"secret_file"`
}

// The members of an endpoint judge themselves while the file is read, so that a refusal has its
// line (contract 178). They are structs because the library does not ask a type that is a text
// itself.
type (
	hookURL    struct{ text string }
	hookEvent  struct{ name string }
	hookSecret struct{ secret.Text }
)

// UnmarshalText refuses what cannot be sent to. Whether an address in it may be dialled depends on
// allow, and is judged later.
func (u *hookURL) UnmarshalText(text []byte) error {
	u.text = string(text)
	everything := webhook.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	return plain(everything.CheckURL(string(text)))
}

// MarshalText returns the URL.
func (u hookURL) MarshalText() ([]byte, error) { return []byte(u.text), nil }

// UnmarshalText refuses an unknown name.
func (e *hookEvent) UnmarshalText(text []byte) error {
	e.name = string(text)
	_, err := webhook.CheckEvents([]string{string(text)}, event.HookNames())
	return plain(err)
}

// MarshalText returns the name.
func (e hookEvent) MarshalText() ([]byte, error) { return []byte(e.name), nil }

// UnmarshalText refuses the empty secret: it would sign nothing.
func (s *hookSecret) UnmarshalText(text []byte) error {
	s.Text = secret.New(string(text))
	return plain(webhook.CheckSecret(string(text)))
}

// MarshalText returns a mask, and nothing for no secret.
func (s hookSecret) MarshalText() ([]byte, error) {
	if s.Empty() {
		return nil, nil
	}
	return []byte(s.String()), nil
}

// plain returns the text of a fault as an error of a value in a file.
func plain(err error) error {
	if f := fault.Of(err); f != nil {
		return errors.New(f.Message)
	}
	return err
}

func defaultRetry() []config.Duration {
	var out []config.Duration
	for _, d := range webhook.DefaultSchedule() {
		out = append(out, config.Duration(d))
	}
	return out
}

// maxRetries bounds the schedule of a delivery.
const maxRetries = 100

// check notes what serve would refuse.
func (w Webhooks) check(problems *config.Problems) {
	if w.Timeout < config.Duration(time.Millisecond) || w.Timeout > config.Duration(time.Minute) {
		problems.Add("webhooks.timeout must be 1ms to 1m, not %s", time.Duration(w.Timeout))
	}
	if len(w.Retry) > maxRetries {
		problems.Add("webhooks.retry has %d pauses; the most are %d", len(w.Retry), maxRetries)
	}
	for _, d := range w.Retry {
		problems.NotNegative("webhooks.retry", d)
	}
	guard := webhook.Guard{Allow: w.Allow}
	seen := map[hookURL]bool{}
	if len(w.Endpoints) > webhook.MaxEndpoints {
		problems.Add("webhooks.endpoints: there are %d; the most are %d", len(w.Endpoints), webhook.MaxEndpoints)
	}
	for i, e := range w.Endpoints {
		at := fmt.Sprintf("webhooks.endpoints.%d", i)
		if err := guard.CheckURL(e.URL.text); err != nil {
			problems.Add("%s.url: %s", at, plain(err))
		} else if seen[e.URL] {
			problems.Add("%s.url: %s stands there twice; list all of its events in one endpoint", at, e.URL.text)
		}
		seen[e.URL] = true
		if len(e.Events) == 0 {
			problems.Add("%s.events must name at least one of %s", at, strings.Join(event.HookNames(), ", "))
		}
		if e.Secret.Empty() == (e.SecretFile == "") {
			problems.Add("%s must have one of secret and secret_file", at)
		} else if _, err := e.secret(); err != nil {
			problems.Add("%s.secret_file: %s", at, plain(err))
		}
	}
}

func (e WebhookEndpoint) secret() (secret.Text, error) {
	if e.SecretFile == "" {
		return e.Secret.Text, nil
	}
	s, err := secret.FromFile(string(e.SecretFile))
	if err != nil {
		return s, err
	}
	return s, webhook.CheckSecret(s.Reveal())
}

// webhooksOf builds what sends, with the endpoints of the file.
func webhooksOf(ctx context.Context, c Webhooks, dir instance.Folder, db *feed.Hub, book rights.Book, now func() time.Time,
	log *slog.Logger) (*webhook.Webhooks, error) {
	sealer, err := seal.Make(dir.Keys())
	if err != nil {
		return nil, err
	}
	schedule := make([]time.Duration, 0, len(c.Retry))
	for _, d := range c.Retry {
		schedule = append(schedule, time.Duration(d))
	}
	hooks := webhook.New(webhook.Config{
		DB: db, Stream: run.EventStream, Events: event.HookNames(), Agent: "provisioning-platform-orchestrator", Schedule: schedule,
		Sealer: sealer, Now: now, Log: log,
		Guard:  webhook.Guard{Allow: c.Allow, Timeout: time.Duration(c.Timeout)},
		Render: renderHook, Announce: func(e webhook.Endpoint) []byte { return announceHook(e, now()) },
		Allowed: func(ctx context.Context, owner string, m webhook.Message) (string, error) {
			return book.Reads(ctx, owner, api.Watched(event.HookCategory(m.Event)), now())
		},
	})
	if !c.Enabled {
		return hooks, nil
	}
	var files []webhook.FileEndpoint
	for _, e := range c.Endpoints {
		s, err := e.secret()
		if err != nil {
			return nil, err
		}
		f := webhook.FileEndpoint{URL: e.URL.text, Secret: s}
		for _, name := range e.Events {
			f.Events = append(f.Events, name.name)
		}
		files = append(files, f)
	}
	return hooks, hooks.Sync(ctx, files)
}

func renderHook(entry []byte) (webhook.Message, bool) {
	h, ok := event.HookOf(entry)
	return webhook.Message{Event: h.Name, At: h.Time, Data: h.Data}, ok
}

// announceHook returns the event that says that a webhook was paused by the service itself.
func announceHook(e webhook.Endpoint, now time.Time) []byte {
	var w canonical.Writer
	paused := event.Event{Type: event.WebhookPaused, Time: now, Webhook: e.ID, Status: "paused", Error: e.Reason}
	paused.Write(&w)
	return slices.Clone(w.Body().Bytes())
}
