package api

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/pebblestore"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/ratelimit"
)

// BenchmarkCopy takes in what the orchestrator's copier sends while it works off many tasks: full
// pages, two entries a task, each outcome behind its intent by the tasks that run at once, so that
// with few of them most pairs come in one page and with many none. The CPU is that of the whole
// process: with the engine's work in the background, without the making of the pages.
func BenchmarkCopy(b *testing.B) {
	for _, atOnce := range []int{100, 1500} {
		b.Run(fmt.Sprint("at_once=", atOnce), func(b *testing.B) { takeIn(b, atOnce) })
	}
}

func takeIn(b *testing.B, atOnce int) {
	db, err := pebblestore.Open(b.TempDir(), store.Schema{Service: "control_center", Kinds: auditlog.Kinds()},
		slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	a := &API{Index: &auditlog.Index{DB: db}}
	s, err := web.NewServer(web.Config{
		Service: "bench", Log: obs.Discard(), Metrics: obs.NewRegistry(), RateLimits: ratelimit.Default(),
		Authenticate: func(context.Context, string, *http.Request) (token.Claims, error) {
			return token.Claims{Kind: token.Service, Subject: token.ServiceSubject(token.Orchestrator)}, nil
		},
		Decide: func(authz.Request) authz.Decision { return authz.Decision{} },
		Routes: a.internalRoutes(),
	})
	if err != nil {
		b.Fatal(err)
	}
	handler, pages := s.HTTP().Handler, pagesOf(b, b.N, atOnce)
	b.ReportAllocs()
	b.ResetTimer()
	before := spent(b)
	for _, page := range pages {
		r := httptest.NewRequest("POST", "/internal/v1/audit/entries", bytes.NewReader(page))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer x")
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
	used := spent(b) - before
	b.ReportMetric(float64(used.Microseconds())/float64(b.N*store.MaxPage/2), "cpu-µs/task")
}

// spent returns the CPU that the process has used.
func spent(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// pagesOf returns n pages of entries as they travel.
func pagesOf(b *testing.B, n, atOnce int) [][]byte {
	start := time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)
	pages := make([][]byte, n)
	for p := range pages {
		c := audit.Copied{First: int64(p * store.MaxPage)}
		for at := p * store.MaxPage; at < (p+1)*store.MaxPage; at++ {
			task, phase := at/2, audit.Intent
			if at%2 == 1 {
				task, phase = task-atOnce, audit.Outcome
			}
			when := start.Add(time.Duration(at) * time.Second / 16_000)
			hex := fmt.Sprintf("%012x", when.UnixMilli())
			e := audit.Entry{Action: "server.create", Actor: audit.Actor{Sub: "01997b1c-0000-7000-8000-000000000001", Username: "admin"},
				Decision: &audit.DecisionRecord{Allowed: true, Policy: 1, Rule: "role:admin"},
				Details: map[string]any{"attempt": 1, "decision": "01997b1c-0000-7000-8000-000000000002",
					"run":  "01997b1c-0000-7000-8000-000000000004",
					"task": fmt.Sprintf("01997b1c-0001-7000-8000-%012x", uint32(task))},
				ID:     fmt.Sprintf("%s-%s-7000-8000-%012x", hex[:8], hex[8:], at),
				OpID:   fmt.Sprintf("01997b1c-0000-7000-8000-%012x", uint32(task)),
				Origin: token.Orchestrator, Phase: phase, Resource: fmt.Sprintf("servers/many-0-%d-1", task), Result: audit.Success,
				Time: when, V: 1}
			body, err := e.Encode()
			if err != nil {
				b.Fatal(err)
			}
			c.Entries = append(c.Entries, string(body))
		}
		pages[p] = c.JSON()
	}
	return pages
}
