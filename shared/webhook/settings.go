package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
)

// Vocabulary is the events of a service that an endpoint may ask for. Its zero value knows them, so
// that a name in a file is judged on its line.
type Vocabulary interface{ EventNames() []string }

// SendSettings configures what a service sends to receivers over HTTP (decision 65); E is the
// events that it has.
type SendSettings[E Vocabulary] struct {
	Enabled   bool                  `toml:"enabled"`
	Allow     []netip.Prefix        `toml:"allow"`   // networks that may be dialled although they are not public
	Timeout   config.Duration       `toml:"timeout"` // of one attempt
	Retry     []config.Duration     `toml:"retry"`   // pauses between attempts
	Endpoints []EndpointSettings[E] `toml:"endpoints"`
}

// EndpointSettings is a receiver that the file names.
type EndpointSettings[E Vocabulary] struct {
	URL        settingURL        `toml:"url"`
	Events     []settingEvent[E] `toml:"events"`
	Secret     settingSecret     `toml:"secret"`
	SecretFile config.Path       `toml:"secret_file"`
}

// The members of an endpoint judge themselves while the file is read, so that a refusal has its
// line (contract 178). They are structs because the library does not ask a type that is a text
// itself.
type (
	settingURL                 struct{ text string }
	settingEvent[E Vocabulary] struct{ name string }
	settingSecret              struct{ secret.Text }
)

// UnmarshalText refuses what cannot be sent to. Whether an address in it may be dialled depends on
// allow, and is judged later.
func (u *settingURL) UnmarshalText(text []byte) error {
	u.text = string(text)
	everything := Guard{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	return plain(everything.CheckURL(string(text)))
}

// MarshalText returns the URL.
func (u settingURL) MarshalText() ([]byte, error) { return []byte(u.text), nil }

// UnmarshalText refuses an unknown name.
func (e *settingEvent[E]) UnmarshalText(text []byte) error {
	e.name = string(text)
	_, err := CheckEvents([]string{string(text)}, eventNames[E]())
	return plain(err)
}

// MarshalText returns the name.
func (e settingEvent[E]) MarshalText() ([]byte, error) { return []byte(e.name), nil }

// UnmarshalText refuses the empty secret: it would sign nothing.
func (s *settingSecret) UnmarshalText(text []byte) error {
	s.Text = secret.New(string(text))
	return plain(CheckSecret(string(text)))
}

// MarshalText returns a mask, and nothing for no secret.
func (s settingSecret) MarshalText() ([]byte, error) {
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

func eventNames[E Vocabulary]() []string {
	var e E
	return e.EventNames()
}

// DefaultSettings returns the settings of a service that was told nothing: webhooks can be made
// over the API, public addresses are dialled, and attempts follow DefaultSchedule.
func DefaultSettings[E Vocabulary]() SendSettings[E] {
	s := SendSettings[E]{Enabled: true, Timeout: config.Duration(DefaultTimeout)}
	for _, d := range DefaultSchedule() {
		s.Retry = append(s.Retry, config.Duration(d))
	}
	return s
}

// maxRetries bounds the schedule of a delivery.
const maxRetries = 100

// Check notes what Open would refuse.
func (s SendSettings[E]) Check(problems *config.Problems) {
	if s.Timeout < config.Duration(time.Millisecond) || s.Timeout > config.Duration(time.Minute) {
		problems.Add("webhooks.timeout must be 1ms to 1m, not %s", time.Duration(s.Timeout))
	}
	if len(s.Retry) > maxRetries {
		problems.Add("webhooks.retry has %d pauses; the most are %d", len(s.Retry), maxRetries)
	}
	for _, d := range s.Retry {
		problems.NotNegative("webhooks.retry", d)
	}
	guard := Guard{Allow: s.Allow}
	seen := map[settingURL]bool{}
	if len(s.Endpoints) > MaxEndpoints {
		problems.Add("webhooks.endpoints: there are %d; the most are %d", len(s.Endpoints), MaxEndpoints)
	}
	for i, e := range s.Endpoints {
		at := fmt.Sprintf("webhooks.endpoints.%d", i)
		if err := guard.CheckURL(e.URL.text); err != nil {
			problems.Add("%s.url: %s", at, plain(err))
		} else if seen[e.URL] {
			problems.Add("%s.url: %s stands there twice; list all of its events in one endpoint", at, e.URL.text)
		}
		seen[e.URL] = true
		if len(e.Events) == 0 {
			problems.Add("%s.events must name at least one of %s", at, strings.Join(eventNames[E](), ", "))
		}
		if e.Secret.Empty() == (e.SecretFile == "") {
			problems.Add("%s must have one of secret and secret_file", at)
		} else if _, err := e.secret(); err != nil {
			problems.Add("%s.secret_file: %s", at, plain(err))
		}
	}
}

func (e EndpointSettings[E]) secret() (secret.Text, error) {
	if e.SecretFile == "" {
		return e.Secret.Text, nil
	}
	s, err := secret.FromFile(string(e.SecretFile))
	if err != nil {
		return s, err
	}
	return s, CheckSecret(s.Reveal())
}

// Open returns the Webhooks of a service with these settings over c, whose Events, Guard, Schedule
// and Off it sets, and makes the endpoints of the file those that are stored.
func (s SendSettings[E]) Open(ctx context.Context, c Config) (*Webhooks, error) {
	c.Events, c.Guard, c.Off = eventNames[E](), Guard{Allow: s.Allow, Timeout: time.Duration(s.Timeout)}, !s.Enabled
	c.Schedule = make([]time.Duration, 0, len(s.Retry))
	for _, d := range s.Retry {
		c.Schedule = append(c.Schedule, time.Duration(d))
	}
	w := New(c)
	if c.Off {
		return w, nil
	}
	var files []FileEndpoint
	for _, e := range s.Endpoints {
		own, err := e.secret()
		if err != nil {
			return nil, err
		}
		f := FileEndpoint{URL: e.URL.text, Secret: own}
		for _, name := range e.Events {
			f.Events = append(f.Events, name.name)
		}
		files = append(files, f)
	}
	return w, w.Sync(ctx, files)
}
