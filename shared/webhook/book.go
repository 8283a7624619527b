package webhook

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
)

// The faults of endpoints.
var (
	ErrNotFound = fault.New(fault.NotFound, "webhook.not_found",
		"there is no such webhook; GET /webhooks lists them, or the verb webhook list")
	ErrFromFile = fault.New(fault.Conflict, "webhook.from_file",
		"this webhook stands in the service's configuration: change it there and restart; pause, resume, test and redeliver work here")
	ErrDisabled = fault.New(fault.Conflict, "webhook.disabled",
		"webhooks are switched off here: set enabled = true in [webhooks] of this service's configuration")
	ErrTooMany = fault.New(fault.Conflict, "webhook.too_many", "there are %d webhooks already; delete one first", MaxEndpoints)
)

// errUnchanged ends a change that finds nothing to do.
var errUnchanged = errors.New("unchanged")

// secretField is the member under which secrets are sealed.
const secretField = "secret"

// Input is what somebody wants an endpoint to be; a nil member stays as it is.
type Input struct {
	Description *string
	Events      []string
	Secret      secret.Text // of Create and Rotate; empty: one is made
	URL         *string
}

// act returns the audit entry of an action on an endpoint.
func (w *Webhooks) act(action, endpoint string, details map[string]any) audit.EntryDraft {
	return audit.EntryDraft{Action: "webhook." + action, Resource: w.c.Noun + "/" + endpoint, Details: details}
}

// enabled refuses what would be sent while nothing is.
func (w *Webhooks) enabled() error {
	if w.c.Off {
		return ErrDisabled
	}
	return nil
}

func (e *Endpoint) pause(reason string, now time.Time) {
	at := now.UTC()
	e.Condition, e.Reason, e.PausedAt, e.Updated = Paused, reason, &at, at
}

// apply checks what is given and puts it into e.
func (w *Webhooks) apply(e *Endpoint, in Input) (err error) {
	if in.URL != nil {
		if err := w.c.Guard.CheckURL(*in.URL); err != nil {
			return err
		}
		e.URL = *in.URL
	}
	if in.Events != nil {
		if e.Events, err = CheckEvents(in.Events, w.c.Events); err != nil {
			return err
		}
	}
	if in.Description != nil {
		if err := checkDescription(*in.Description); err != nil {
			return err
		}
		e.Description = *in.Description
	}
	return nil
}

// makeSecret returns the given secret, or one of 256 random bits when there is none.
func makeSecret(given secret.Text) (secret.Text, error) {
	if !given.Empty() {
		return given, checkStandardSecret(given.Reveal())
	}
	raw := make([]byte, generated)
	_, _ = rand.Read(raw) // never fails
	return secret.New(secretPrefix + base64.StdEncoding.EncodeToString(raw)), nil
}

func (w *Webhooks) seal(endpoint string, s secret.Text, now time.Time) SealedSecret {
	return SealedSecret{Made: now.UTC(), Sealed: w.c.Sealer.Seal(endpointKind, endpoint, secretField, []byte(s.Reveal()))}
}

// reveal returns the valid secrets of an endpoint, the newest first.
func (w *Webhooks) reveal(e *Endpoint, now time.Time) ([]string, error) {
	if e.FromFile() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if s, ok := w.secrets[e.ID]; ok {
			return []string{s}, nil
		}
		return nil, errors.New("the configuration does not list this endpoint")
	}
	var out []string
	for _, s := range e.Secrets {
		if s.Expires != nil && !now.Before(*s.Expires) {
			continue
		}
		plain, err := w.c.Sealer.Open(endpointKind, e.ID, secretField, s.Sealed)
		if err != nil {
			return nil, err
		}
		out = append(out, string(plain))
	}
	if len(out) == 0 {
		return nil, errors.New("there is none")
	}
	return out, nil
}

// Create makes an endpoint with a fresh id that hears what happens from now on, and returns its
// secret, which is shown only here. Faults: Invalid with the field, ErrTooMany, ErrDisabled.
func (w *Webhooks) Create(ctx context.Context, endpoint string, by Maker, in Input) (Endpoint, secret.Text, error) {
	if err := w.enabled(); err != nil {
		return Endpoint{}, secret.Text{}, err
	}
	now := w.c.Now()
	if in.URL == nil {
		return Endpoint{}, secret.Text{}, badField("/url", "url is missing: say where to send, such as https://example.com/hook")
	}
	if in.Events == nil {
		in.Events = []string{}
	}
	e := Endpoint{Condition: Active, Created: now.UTC(), ID: endpoint, Owner: by.ID, Token: by.Token, Updated: now.UTC()}
	if err := w.apply(&e, in); err != nil {
		return Endpoint{}, secret.Text{}, err
	}
	s, err := makeSecret(in.Secret)
	if err != nil {
		return Endpoint{}, secret.Text{}, err
	}
	e.Secrets = []SealedSecret{w.seal(e.ID, s, now)}
	return e, s, w.create(ctx, e)
}

func (w *Webhooks) create(ctx context.Context, e Endpoint) error {
	page, err := w.c.DB.List(ctx, store.Query{Kind: Endpoints.Kind, Total: true})
	if err != nil {
		return err
	}
	if page.Total >= MaxEndpoints {
		return ErrTooMany
	}
	head, err := w.c.DB.Read(ctx, w.c.Stream, store.Latest, 0)
	if err != nil {
		return err
	}
	act := w.act("create", e.ID, map[string]any{"events": e.Events, "owner": e.Owner, "url": e.URL})
	_, err = audit.Update(ctx, w.c.DB, &act, func(tx *store.Tx) error {
		return errors.Join(Endpoints.Create(tx, e), feed.Cursors.Create(tx, startAt(e.ID, w.c.Stream, head.Head)),
			w.announce(tx, News{Occurrence: Made, Endpoint: e.ID}))
	})
	w.poke(e.ID)
	return err
}

// change is one commit of an endpoint, what the stream says of it and its audit entry. A change
// that finds nothing to do returns errUnchanged and commits nothing.
func (w *Webhooks) change(ctx context.Context, n News, act *audit.EntryDraft, fn func(*Endpoint) error) error {
	endpoint := n.Endpoint
	_, err := audit.Update(ctx, w.c.DB, act, func(tx *store.Tx) error {
		row, err := Endpoints.Load(tx, endpoint)
		if err != nil {
			return err
		}
		if row.Rev == 0 {
			return ErrNotFound
		}
		if err := fn(&row.Value); err != nil {
			return err
		}
		return errors.Join(Endpoints.Save(tx, row.Value), w.announce(tx, n))
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	w.poke(endpoint)
	return err
}

// Update changes what in names. Whoever changes an endpoint owns it from then on: what it is sent
// is what he may read. accept gets the endpoint before it is stored, and its error refuses the
// change. The faults are Invalid with the field, ErrNotFound, ErrFromFile and those of accept.
func (w *Webhooks) Update(ctx context.Context, endpoint string, by Maker, in Input, accept func(Endpoint) error) error {
	act := w.act("update", endpoint, map[string]any{})
	return w.change(ctx, News{Occurrence: Changed, Endpoint: endpoint}, &act, func(e *Endpoint) error {
		if e.FromFile() {
			return ErrFromFile
		}
		if err := w.apply(e, in); err != nil {
			return err
		}
		e.belong(by)
		e.Updated = w.c.Now().UTC()
		act.Details["events"], act.Details["owner"], act.Details["url"] = e.Events, e.Owner, e.URL
		return accept(*e)
	})
}

// Rotate gives an endpoint a new secret and returns it. The one before stays valid for Overlap:
// deliveries carry a signature of both in webhook-signature, and the new one alone in the body.
// accept gets the endpoint before it is stored, and its error refuses the change.
func (w *Webhooks) Rotate(ctx context.Context, endpoint string, by Maker, given secret.Text,
	accept func(Endpoint) error) (secret.Text, error) {
	s, err := makeSecret(given)
	if err != nil {
		return secret.Text{}, err
	}
	act := w.act("rotate", endpoint, nil)
	return s, w.change(ctx, News{Occurrence: Changed, Endpoint: endpoint}, &act, func(e *Endpoint) error {
		if e.FromFile() {
			return ErrFromFile
		}
		now := w.c.Now()
		expires := now.UTC().Add(Overlap)
		before := e.Secrets[0]
		before.Expires = &expires
		e.Secrets = []SealedSecret{w.seal(e.ID, s, now), before}
		e.belong(by)
		e.Updated = now.UTC()
		return accept(*e)
	})
}

// Pause stops sending; what happens meanwhile waits. Pausing twice changes nothing.
func (w *Webhooks) Pause(ctx context.Context, endpoint, reason string) error {
	if reason == "" {
		reason = "paused by hand"
	}
	return w.pause(ctx, News{Occurrence: Stopped, Endpoint: endpoint, Reason: reason})
}

// pause pauses an active endpoint for the reason in n.
func (w *Webhooks) pause(ctx context.Context, n News) error {
	act := w.act("pause", n.Endpoint, map[string]any{"reason": n.Reason})
	return w.change(ctx, n, &act, func(e *Endpoint) error {
		if e.Condition == Paused {
			return errUnchanged
		}
		e.pause(n.Reason, w.c.Now())
		return nil
	})
}

// Resume goes on where Pause stopped. Resuming twice changes nothing. accept gets the endpoint
// before it is stored, and its error refuses the change.
func (w *Webhooks) Resume(ctx context.Context, endpoint string, accept func(Endpoint) error) error {
	if err := w.enabled(); err != nil {
		return err
	}
	act := w.act("resume", endpoint, nil)
	return w.change(ctx, News{Occurrence: Went, Endpoint: endpoint}, &act, func(e *Endpoint) error {
		if e.Condition == Active {
			return errUnchanged
		}
		e.Condition, e.Reason, e.PausedAt, e.Updated = Active, "", nil, w.c.Now().UTC()
		return accept(*e)
	})
}

// Delete removes an endpoint, its cursor and its deliveries. A request that is under way ends as it
// ends.
func (w *Webhooks) Delete(ctx context.Context, endpoint string) error {
	return w.remove(ctx, endpoint, func(e *Endpoint) error {
		if e.FromFile() {
			return ErrFromFile
		}
		return nil
	})
}

func (w *Webhooks) remove(ctx context.Context, endpoint string, may func(*Endpoint) error) error {
	w.looking.Lock()
	defer w.looking.Unlock()
	act := w.act("delete", endpoint, map[string]any{})
	_, err := audit.Update(ctx, w.c.DB, &act, func(tx *store.Tx) error {
		row, err := Endpoints.Load(tx, endpoint)
		if err != nil {
			return err
		}
		if row.Rev == 0 {
			return ErrNotFound
		}
		if err := may(&row.Value); err != nil {
			return err
		}
		act.Details["url"] = row.Value.URL
		Endpoints.Remove(tx, endpoint)
		feed.Cursors.Remove(tx, Cursor(endpoint))
		return w.announce(tx, News{Occurrence: Removed, Endpoint: endpoint})
	})
	if err != nil {
		return err
	}
	// The follower, whose cursor went with the endpoint, has made a new one if it was awake.
	w.stop(func(id string) bool { return id == endpoint })
	return w.forget(ctx, endpoint)
}

// Get returns an endpoint; the fault is ErrNotFound.
func (w *Webhooks) Get(ctx context.Context, endpoint string) (Endpoint, error) {
	row, err := Endpoints.Get(ctx, w.c.DB, endpoint)
	if err == nil && row.Rev == 0 {
		err = ErrNotFound
	}
	return row.Value, err
}

// Lost returns the ranges of the stream that were trimmed before they came to an endpoint (decision
// 45), the newest first, at most 100.
func (w *Webhooks) Lost(ctx context.Context, endpoint string) ([]feed.DeadLetter, error) {
	rows, _, err := feed.DeadLetters.List(ctx, w.c.DB, store.Query{Prefix: Cursor(endpoint) + "/", Reverse: true, Limit: 100})
	out := make([]feed.DeadLetter, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.Value)
	}
	return out, err
}
