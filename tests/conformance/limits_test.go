package conformance

import (
	"net/http"
	"strconv"
	"testing"
	"time"
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
		for range 12 {
			l.orch("admin", http.MethodPost, "/batch/execute", l.batch("limited", op("a")))
		}
		for _, r := range l.audit("action=batch.create") {
			if r.Result != "success" {
				t.Errorf("a 429 left %+v", r)
			}
		}
		if n := l.count("/tasks"); n != 10 {
			t.Errorf("%d tasks exist", n)
		}
	}},
}
