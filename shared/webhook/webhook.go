package webhook

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/trace"
)

// TestEvent is the event of a delivery that somebody asked for to try an endpoint.
const TestEvent = "webhook.test"

// lookEvery is how often endpoints and due deliveries are looked at without a wake-up.
const lookEvery = 30 * time.Second

// Config is what Webhooks needs.
type Config struct {
	DB       *feed.Hub
	Off      bool     // nothing is sent, and what would be sent is refused with ErrDisabled
	Noun     string   // what the policies call an endpoint: "webhooks"
	Stream   string   // whose entries are sent
	Events   []string // names that an endpoint may ask for
	Agent    string   // value of User-Agent
	Guard    Guard
	Schedule []time.Duration // pauses between attempts; nil means DefaultSchedule
	Sealer   *seal.Sealer
	// Render returns what an entry means to receivers; false when it means nothing to them.
	Render func(entry []byte) (Message, bool)
	// Allowed returns why the maker of an endpoint may not read a message now; "" when he may
	// (decision 54). An error means that it cannot be told yet.
	Allowed func(ctx context.Context, maker Maker, m Message) (string, error)
	// Reads returns the types of the resources that somebody must be allowed to read who is sent an
	// event of that name.
	Reads func(event string) []string
	// Announce appends what Stream says of n to the transaction of the change; nil says nothing.
	Announce func(tx *store.Tx, n News) error
	// SpanOf returns the span of what a message tells, below which its attempts stand. nil: they
	// have none.
	SpanOf func(ctx context.Context, m Message) trace.SpanContext
	Traces *trace.Tracer
	Now    func() time.Time
	Log    *slog.Logger
}

// Webhooks owns endpoints and sends to them. Build it with New.
type Webhooks struct {
	c       Config
	client  *http.Client
	changed chan struct{} // holds one: endpoints are to be looked at
	meter   meter

	looking sync.Mutex // held while senders are started and endpoints removed: no sender runs for what is gone

	mu      sync.Mutex
	secrets map[string]string  // under mu: of the endpoints of the configuration
	senders map[string]*sender // under mu: running
}

// New returns Webhooks; Run sends.
func New(c Config) *Webhooks {
	if c.Schedule == nil {
		c.Schedule = DefaultSchedule()
	}
	return &Webhooks{c: c, client: c.Guard.Client(), changed: make(chan struct{}, 1), secrets: map[string]string{},
		senders: map[string]*sender{}}
}

// Noun returns what the policies call an endpoint.
func (w *Webhooks) Noun() string { return w.c.Noun }

// Reads returns the types of the resources that somebody must be allowed to read who is sent an
// event of that name; none when the service names none.
func (w *Webhooks) Reads(event string) []string {
	if w.c.Reads == nil || event == TestEvent {
		return nil
	}
	return w.c.Reads(event)
}

// Run sends to the active endpoints until ctx ends and then returns nil. While the store is away it
// tries again.
func (w *Webhooks) Run(ctx context.Context) error {
	if w.c.Off {
		<-ctx.Done()
		return nil
	}
	defer w.stop(func(string) bool { return true })
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for swept := false; ; {
		if !swept {
			swept = w.logged("sweep", w.sweep(ctx)) // what a delete that died has left
		}
		w.logged("look at endpoints", w.look(ctx))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-w.changed:
		}
	}
}

// logged writes an error to the log and says whether there was none.
func (w *Webhooks) logged(what string, err error) bool {
	if err != nil && !fault.Is(err, fault.NotFound) {
		w.c.Log.Warn("webhooks try again", "what", what, "error", err)
	}
	return err == nil
}

// look starts the senders of active endpoints and stops the others.
func (w *Webhooks) look(ctx context.Context) error {
	w.looking.Lock()
	defer w.looking.Unlock()
	active := map[string]bool{}
	for row, err := range Endpoints.All(ctx, w.c.DB, store.Query{}) {
		if err != nil {
			return err
		}
		if row.Value.Condition == Active {
			active[row.Value.ID] = true
		}
	}
	w.stop(func(id string) bool { return !active[id] })
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range active {
		if w.senders[id] == nil {
			w.senders[id] = w.start(ctx, id)
		}
	}
	return nil
}

// stop ends the senders of the endpoints that over names and waits for them.
func (w *Webhooks) stop(over func(endpoint string) bool) {
	var ending []*sender
	w.mu.Lock()
	for id, s := range w.senders {
		if over(id) {
			s.cancel()
			ending = append(ending, s)
			delete(w.senders, id)
		}
	}
	w.mu.Unlock()
	for _, s := range ending {
		s.running.Wait()
	}
}

// poke makes Run look at the endpoints, and the sender of one at its deliveries.
func (w *Webhooks) poke(endpoint string) {
	wake(w.changed)
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.senders[endpoint]; s != nil {
		wake(s.wake)
		wake(s.room)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sweep removes the deliveries of endpoints that are gone.
func (w *Webhooks) sweep(ctx context.Context) error {
	q := store.Query{Limit: 1}
	for {
		rows, _, err := Deliveries.List(ctx, w.c.DB, q)
		if err != nil || len(rows) == 0 {
			return err
		}
		endpoint := rows[0].Value.Endpoint
		row, err := Endpoints.Get(ctx, w.c.DB, endpoint)
		if err == nil && row.Rev == 0 {
			err = w.forget(ctx, endpoint)
		}
		if err != nil {
			return err
		}
		q.After = store.Cursor{ID: endpoint + "0"} // "0" is the character behind "/": behind all deliveries of the endpoint
	}
}

// forget removes the deliveries of an endpoint that is gone, and its cursor.
func (w *Webhooks) forget(ctx context.Context, endpoint string) error {
	cursor := store.Write{Key: feed.Cursors.Key(Cursor(endpoint)), Expect: store.Any(), Action: store.Delete}
	if _, err := w.c.DB.Commit(ctx, store.Batch{Writes: []store.Write{cursor}}); err != nil {
		return err
	}
	for {
		page, err := w.c.DB.List(ctx, store.Query{Kind: deliveryKind, Prefix: endpoint + "/", Limit: store.MaxPage})
		if err != nil || len(page.Docs) == 0 {
			return err
		}
		var b store.Batch
		for _, d := range page.Docs {
			b.Writes = append(b.Writes, store.Write{Key: d.Key, Expect: store.Any(), Action: store.Delete})
		}
		if _, err := w.c.DB.Commit(ctx, b); err != nil {
			return err
		}
	}
}
