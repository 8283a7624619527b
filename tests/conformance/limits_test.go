package conformance

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/tests/rig"
)

// limits holds section 3.15.
var limits = []behaviour{
	{180, "the_101st_request_of_a_user_in_a_minute_waits_and_others_do_not", func(t *testing.T, e *env) {
		l := e.limited()
		var last answer
		for range 101 {
			last = l.withToken(l.Token.Reveal(), l.Orchestrator.Address, "/tasks")
		}
		l.want(last, 429)
		reset, err := strconv.ParseInt(last.Header.Get("X-RateLimit-Reset"), 10, 64)
		if err != nil || last.Header.Get("Retry-After") == "" {
			t.Fatalf("%v", last.Header)
		}
		other := l.createUser("other", "viewer")
		l.want(l.withToken(l.login(other.Username, password).Reveal(), l.Orchestrator.Address, "/tasks"), 200)
		l.await(time.Until(time.Unix(reset, 0))+3*time.Second, "it works again after the reset", func() bool {
			return time.Now().After(time.Unix(reset, 0)) && l.withToken(l.Token.Reveal(), l.Orchestrator.Address, "/tasks").Status == 200
		})
	}},
	{181, "the_11th_batch_in_a_minute_waits_and_reading_goes_on", func(t *testing.T, e *env) {
		l := e.limited()
		var last answer
		for range 11 {
			last = l.orch("admin", "POST", "/batch/execute", l.batch("limited", op("a")))
		}
		l.want(last, 429)
		if n := l.count("/batch/operations"); n != 10 {
			t.Errorf("%d batches exist", n)
		}
	}},
	{182, "limits_are_per_service", func(t *testing.T, e *env) {
		l := e.limited()
		for range 101 {
			l.withToken(l.Token.Reveal(), l.Orchestrator.Address, "/tasks")
		}
		l.want(l.withToken(l.Token.Reveal(), l.Orchestrator.Address, "/tasks"), 429)
		l.want(l.withToken(l.Token.Reveal(), l.ControlCenter.Address, "/users"), 200)
		if _, err := l.Orchestrator.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := l.Orchestrator.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.want(l.withToken(l.Token.Reveal(), l.Orchestrator.Address, "/tasks"), 200)
	}},
	{183, "a_429_counts_for_nothing_else", func(t *testing.T, e *env) {
		l := e.limited()
		// Twelve failures slow an account down (behaviour 110), from wherever they come.
		u := l.createUser("guessed", "viewer")
		for i := range 30 {
			status := 401
			if i >= 5 {
				status = 429
			}
			l.want(l.logInFrom("127.0.0.2", u.Username, "not the right passphrase"), status)
		}
		l.want(l.logInFrom("127.0.0.3", u.Username, password), 200)
		refused := func(path string, body any) bool {
			return l.want(l.orch("admin", "POST", path, body), 200, 429).Status == 429
		}
		batches, workflows := 0, 0
		for !refused("/batch/execute", l.batch("limited", op("a"))) {
			batches++
		}
		for !refused("/workflows/servers/create", servers("fast")) {
			workflows++
		}
		l.liftLimits()
		l.allRecorded()
		for query, want := range map[string]int{"action=auth.login&resource=users/" + u.ID: 6, "action=batch.create": batches,
			"action=workflow.create": workflows} {
			if n := l.audited(query); n != want {
				t.Errorf("%s finds %d records, want %d: those of what was let through", query, n, want)
			}
		}
		if n := l.count("/batch/operations"); n != batches || n != 10 {
			t.Errorf("%d batches exist and %d were accepted, want 10 of both", n, batches)
		}
		if n := l.count("/tasks"); n != batches+workflows {
			t.Errorf("%d tasks exist, want one for each of %d batches and %d workflows", n, batches, workflows)
		}
	}},
}

// liftLimits starts both services anew, without rate limits.
func (e *env) liftLimits() {
	e.t.Helper()
	for _, s := range []*rig.Service{e.Orchestrator, e.ControlCenter} {
		if code, err := s.Stop(); err != nil || code != 0 {
			e.t.Fatalf("%s ended with %d, %v", s.Name, code, err)
		}
		s.Env = append(s.Env, strings.ReplaceAll(strings.ToUpper(s.Name), "-", "_")+"_RATE_LIMITS_ENABLED=false")
	}
	for _, s := range []*rig.Service{e.ControlCenter, e.Orchestrator} {
		if err := s.Start(e.t.Context()); err != nil {
			e.t.Fatal(err)
		}
	}
}
