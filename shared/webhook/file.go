package webhook

import (
	"context"
	"slices"

	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
)

// FileEndpoint is an endpoint of the configuration. Its URL is what it is known by, so that its
// place in the stream and what is pending survive a change of all else.
type FileEndpoint struct {
	URL    string
	Events []string
	Secret secret.Text
}

// Sync makes the stored endpoints of FileOwner those of the configuration, each change with its
// audit entry. Their secrets are kept in memory only. Call it before Run.
func (w *Webhooks) Sync(ctx context.Context, files []FileEndpoint) error {
	stored := map[string]Endpoint{}
	for row, err := range Endpoints.All(ctx, w.c.DB, store.Query{}) {
		if err != nil {
			return err
		}
		if row.Value.FromFile() {
			stored[row.Value.URL] = row.Value
		}
	}
	for _, f := range files {
		e, known := stored[f.URL]
		delete(stored, f.URL)
		events, err := CheckEvents(f.Events, w.c.Events)
		if err != nil {
			return err
		}
		if !known {
			now := w.c.Now().UTC()
			e = Endpoint{Condition: Active, Created: now, Events: events, ID: id.New(), Owner: FileOwner, Updated: now, URL: f.URL}
			if err := w.create(ctx, e); err != nil {
				return err
			}
		} else if !slices.Equal(e.Events, events) {
			act := w.act("update", e.ID, map[string]any{"events": events, "url": e.URL})
			err := w.change(ctx, News{Occurrence: Changed, Endpoint: e.ID}, &act, func(e *Endpoint) error {
				e.Events, e.Updated = events, w.c.Now().UTC()
				return nil
			})
			if err != nil {
				return err
			}
		}
		w.mu.Lock()
		w.secrets[e.ID] = f.Secret.Reveal()
		w.mu.Unlock()
	}
	for _, e := range stored {
		if err := w.remove(ctx, e.ID, func(*Endpoint) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}
