package pulse

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// full is a store that takes nothing while it is set.
type full struct {
	store.DB
	on atomic.Bool
}

func (f *full) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	if f.on.Load() {
		return store.Receipt{}, errors.New("full")
	}
	return f.DB.Commit(ctx, b)
}

// site is a service whose reasons a test changes.
type site struct {
	*testing.T
	db      *full
	reasons atomic.Pointer[[]string]
}

// run runs the service for d with these reasons; a start and a stop are a restart.
func (s *site) run(reasons string, d time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(s.Context())
	ended := make(chan error, 1)
	t := &Teller{DB: s.db, Reasons: func() []string { return *s.reasons.Load() }, Now: time.Now, Log: obs.Discard()}
	s.become(reasons, 0)
	go func() { ended <- t.Run(ctx) }()
	s.become(reasons, d)
	return func() {
		cancel()
		if err := <-ended; err != nil {
			s.Error(err)
		}
	}
}

// become sets the reasons for d.
func (s *site) become(reasons string, d time.Duration) {
	synctest.Wait()
	words := strings.Fields(reasons)
	s.reasons.Store(&words)
	<-time.After(d)
	synctest.Wait()
}

// want compares the data of all events.
func (s *site) want(when string, want ...string) {
	s.Helper()
	page, err := s.db.Read(s.Context(), run.EventStream, 0, store.MaxPage)
	if err != nil {
		s.Fatal(err)
	}
	var got []string
	for _, e := range page.Entries {
		h, ok := event.HookOf(e.Body)
		if !ok || h.Name != "system.health" {
			s.Errorf("%s: %s", when, e.Body)
		}
		got = append(got, string(h.Data))
	}
	if !slices.Equal(got, want) {
		s.Errorf("%s: told %q, want %q", when, got, want)
	}
}

func TestRun_tellsAChangeThatStaysOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{T: t, db: &full{DB: memstore.New(store.Schema{Service: "orchestrator", Kinds: append(run.Schema(), Kinds()...)})}}
		const silent, healthy = `{"reasons":["control_center.silent"],"status":"degraded"}`, `{"reasons":[],"status":"healthy"}`
		stop := s.run("audit.waiting", 3*time.Second)
		s.become("", time.Minute)
		s.want("a start in the normal state, reached within five seconds")
		s.become("control_center.silent", 4*time.Second)
		s.become("", time.Minute)
		s.want("four seconds of silence")
		s.become("control_center.silent", time.Hour)
		s.want("silence that stays", silent)
		stop()
		stop = s.run("control_center.silent", time.Hour)
		s.want("a restart in the same state", silent)
		s.become("", 8*time.Second)
		s.want("and back", silent, healthy)
		s.become("control_center.silent", 15*time.Second)
		s.want("a second event within 30 s", silent, healthy)
		s.become("", time.Minute)
		s.want("what is over before it may be told", silent, healthy)
		s.db.on.Store(true)
		s.become("store.full", time.Minute)
		s.db.on.Store(false)
		s.become("store.full", 2*time.Second)
		s.want("a store that took nothing", silent, healthy, `{"reasons":["store.full"],"status":"degraded"}`)
		stop()
		stop = s.run("", 10*time.Second)
		s.become("", time.Minute)
		s.want("a restart in another state", silent, healthy, `{"reasons":["store.full"],"status":"degraded"}`, healthy)
		stop()
	})
}
