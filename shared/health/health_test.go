package health_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/health"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// served is a service with a state that a test changes, behind its routes and metrics.
type served struct {
	*web.Server
	metrics       *obs.Registry
	down          error
	admit, commit error
	unwitnessed   bool
	heard         time.Time
}

func serve(t *testing.T) *served {
	t.Helper()
	s := &served{metrics: obs.NewRegistry(), heard: time.Now().Add(-7 * time.Second)}
	state := &health.Checks{
		Title: "Orchestrator", Waits: func() error { return s.down },
		Refusals: []func() error{func() error { return s.admit }, func() error { return s.commit }},
		Notes:    map[health.Reason]func() bool{health.AuditUnwitnessed: func() bool { return s.unwitnessed }},
		Heard:    func() time.Time { return s.heard },
	}
	state.Meter(s.metrics, "orchestrator")
	var err error
	s.Server, err = web.NewServer(web.Config{
		Service: "orchestrator", Title: "t", Version: "v1", Description: "d", Routes: state.Routes(), Log: obs.Discard(),
		Metrics: s.metrics,
		Store:   memstore.New(store.Schema{Service: "t", Kinds: idempotency.Kinds()}),
		Authenticate: func(context.Context, string, *http.Request) (token.Claims, error) {
			return token.Claims{}, errors.New("nobody")
		},
		Decide: func(authz.Request) authz.Decision { return authz.Decision{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *served) get(path string) (int, string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func (s *served) shows() string {
	w := httptest.NewRecorder()
	s.metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	return w.Body.String()
}

func TestHealth_saysWhatIsRefusedAndWhy(t *testing.T) {
	t.Parallel()
	refusal := func(code string) error {
		return fault.New(fault.Unavailable, code, "DIR /var/lib/secret is full").Because(errors.New("cause"))
	}
	for _, c := range []struct {
		name          string
		change        func(*served)
		health, ready int
		text          string
		reasons       []string
	}{
		{"healthy", func(*served) {}, 200, 200, "Orchestrator is healthy", nil},
		{"silent", func(s *served) { s.admit = refusal("control_center.unreachable") }, 200, 503,
			"Orchestrator is degraded: control_center.silent", []string{"control_center.silent"}},
		{"two at once", func(s *served) { s.admit, s.commit = refusal("control_center.rolled_back"), refusal("store.full") }, 200, 503,
			"Orchestrator is degraded: control_center.rolled_back, store.full", []string{"control_center.rolled_back", "store.full"}},
		{"the same twice", func(s *served) { s.admit, s.commit = refusal("audit.rolled_back"), refusal("audit.rolled_back") }, 200, 503,
			"Orchestrator is degraded: audit.rolled_back", []string{"audit.rolled_back"}},
		{"unsigned", func(s *served) { s.commit = refusal("audit.unsigned") }, 200, 503, "Orchestrator is degraded: audit.unsigned",
			[]string{"audit.unsigned"}},
		{"failed", func(s *served) { s.commit = store.ErrUnavailable }, 200, 503, "Orchestrator is degraded: store.failed",
			[]string{"store.failed"}},
		{"unknown", func(s *served) { s.commit = errors.New("/var/lib/secret") }, 200, 503, "Orchestrator is degraded: other",
			[]string{"other"}},
		{"a note", func(s *served) { s.unwitnessed = true }, 200, 200, "Orchestrator is degraded: audit.unwitnessed",
			[]string{"audit.unwitnessed"}},
		{"down", func(s *served) { s.down, s.commit = store.ErrUnavailable, refusal("store.full") }, 503, 503, "store.unavailable",
			[]string{"store.full"}},
	} {
		s := serve(t)
		c.change(s)
		status, body := s.get("/health")
		ready, why := s.get("/ready")
		if status != c.health || ready != c.ready || !strings.Contains(body, c.text) || strings.Contains(body+why, "secret") {
			t.Errorf("%s: %d %s, ready %d %s", c.name, status, body, ready, why)
		}
		if ready == 503 && status == 200 && !strings.Contains(why, strings.TrimPrefix(c.text, "Orchestrator is degraded: ")) {
			t.Errorf("%s: not ready, and says %s", c.name, why)
		}
		shown := s.shows()
		for _, reason := range []string{"audit.altered", "audit.rolled_back", "audit.unsigned", "audit.unwitnessed", "audit.waiting",
			"control_center.rolled_back", "control_center.silent", "store.failed", "store.full", "other"} {
			want := `orchestrator_degraded{reason="` + reason + `"} 0`
			for _, r := range c.reasons {
				if r == reason {
					want = `orchestrator_degraded{reason="` + reason + `"} 1`
				}
			}
			if !strings.Contains(shown, want) {
				t.Errorf("%s: the metrics lack %s", c.name, want)
			}
		}
		if want := map[int]string{200: "orchestrator_ready 1", 503: "orchestrator_ready 0"}[c.ready]; !strings.Contains(shown, want) ||
			!strings.Contains(shown, "orchestrator_peer_last_heard_seconds 7") {
			t.Errorf("%s: the metrics lack %s", c.name, want)
		}
	}
}

// silent is a store that answers no read until it is back.
type silent struct {
	store.DB
	back chan struct{}
}

func (s silent) Read(ctx context.Context, stream string, after uint64, limit int) (store.Entries, error) {
	select {
	case <-s.back:
		return s.DB.Read(ctx, stream, after, limit)
	case <-ctx.Done():
		return store.Entries{}, ctx.Err()
	}
}

// TestServes_aStoreThatDoesNotAnswerIsNotWaitedForLongerThanTwoSeconds: /health has to say 503
// while the store hangs, and a start goes on as soon as it answers.
func TestServes_aStoreThatDoesNotAnswerIsNotWaitedForLongerThanTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := silent{memstore.New(store.Schema{Service: "t"}), make(chan struct{})}
		state, began := &health.Checks{Title: "T", Store: db}, time.Now()
		if err := state.Serves(); fault.CodeOf(err) != "store.unavailable" || time.Since(began) > 2*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := state.AwaitServes(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("the program ends and AwaitServes says %v", err)
		}
		time.AfterFunc(time.Minute, func() { close(db.back) })
		if err := state.AwaitServes(t.Context()); err != nil || time.Since(began) < time.Minute {
			t.Errorf("ready after %s: %v", time.Since(began), err)
		}
	})
}
