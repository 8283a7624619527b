package security

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/tests/rig"
)

// tries sends the same sign-in or refresh n times at once and returns how many got each status.
func (s *site) tries(t *testing.T, n int, path string, body any) map[int]int {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	begin, counts := make(chan struct{}), map[int]int{}
	for range n {
		all.Go(func() {
			<-begin
			a := s.send(t, "control-center", "POST", path, "", body)
			mu.Lock()
			counts[a.status]++
			mu.Unlock()
		})
	}
	close(begin)
	all.Wait()
	return counts
}

// TestCodes_oneCodeOneSignIn is A30 to A32 at the built binary: fifty sign-ins at once with one code are one success,
// and the code is spent in every spelling; so is a recovery code.
func TestCodes_oneCodeOneSignIn(t *testing.T) {
	s := shared
	for _, kind := range []string{"totp", "recovery"} {
		name := "codes-" + kind
		if err := s.hireRoot(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		second := s.people[name].second
		code := second.RecoveryCodes[0]
		if kind == "totp" {
			var err error
			if code, err = rig.TOTP(second.Secret, time.Now().Unix()/30); err != nil {
				t.Fatal(err)
			}
		}
		counts := s.tries(t, 20, "/auth/login", map[string]any{"username": name, "password": password, "mfa_code": code})
		if counts[200] != 1 || counts[200]+counts[401]+counts[429]+counts[503] != 20 {
			t.Errorf("%s: answers %v", kind, counts)
		}
		for _, spelled := range []string{code, " " + code, code + " ", code + "\t", code + "\u00a0", "+" + code, wide(code), code + "0", "0" + code} {
			if a := s.send(t, "control-center", "POST", "/auth/login", "", map[string]any{"username": name, "password": password, "mfa_code": spelled}); a.status != 401 && a.status != 422 {
				t.Errorf("%s: %q again: %d %s", kind, spelled, a.status, a.raw)
			}
		}
	}
}

// wide writes digits in their full-width form.
func wide(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r + '０' - '0'
		}
		return r
	}, s)
}

// TestRefresh_raceHasOneSuccessor is A20 and A21 at the built binary: the uses of one refresh token at once lead to
// one pair, and its use after its successor was used ends the session at both services.
func TestRefresh_raceHasOneSuccessor(t *testing.T) {
	s := shared
	p, err := s.hire(t.Context(), "refresher", "operator")
	if err != nil {
		t.Fatal(err)
	}
	type pair struct {
		Token   string `json:"token"`
		Refresh string `json:"refresh_token"`
	}
	var first pair
	s.send(t, "control-center", "POST", "/auth/login", "", map[string]any{"username": p.name, "password": password}).data(t, &first)
	var mu sync.Mutex
	var all sync.WaitGroup
	begin, got := make(chan struct{}), map[string]bool{}
	for range 50 {
		all.Go(func() {
			<-begin
			if a := s.send(t, "control-center", "POST", "/auth/refresh", "", map[string]any{"token": first.Refresh}); a.status == 200 {
				var next pair
				a.data(t, &next)
				mu.Lock()
				got[next.Refresh] = true
				mu.Unlock()
			}
		})
	}
	close(begin)
	all.Wait()
	if len(got) != 1 {
		t.Fatalf("%d successors", len(got))
	}
	var second, third pair
	for second.Refresh = range got {
	}
	s.send(t, "control-center", "POST", "/auth/refresh", "", map[string]any{"token": second.Refresh}).data(t, &third)
	alive := func(service, path string) bool {
		return s.send(t, service, "GET", path, third.Token, nil).status != 401
	}
	if !alive("orchestrator", "/tasks") || !alive("control-center", "/users/"+p.id) {
		t.Fatal("the newest token is refused")
	}
	if a := s.send(t, "control-center", "POST", "/auth/refresh", "", map[string]any{"token": first.Refresh}); a.status != 401 {
		t.Errorf("reuse: %d %s", a.status, a.raw)
	}
	if alive("control-center", "/users/"+p.id) {
		t.Error("after the reuse the session goes on at home")
	}
	began := time.Now()
	s.await(t, "the orchestrator refuses the session", func() bool { return !alive("orchestrator", "/tasks") })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the orchestrator took %s", took)
	}
	if a := s.send(t, "control-center", "POST", "/auth/refresh", "", map[string]any{"token": third.Refresh}); a.status != 401 {
		t.Errorf("the family lives: %d", a.status)
	}
}

// TestSignIn_everyClassLooksAlike is A40 and A41: unknown, wrong, disabled and wrong-code sign-ins have one answer to
// the byte, and none is answered without the work of a hash. The least of a class's times is compared, which a busy
// machine moves little; differences below half a hash are beyond this test.
func TestSignIn_everyClassLooksAlike(t *testing.T) {
	s := shared
	const rounds = 9 // below the tenth failure, from which an account is slowed down
	off, err := s.hire(t.Context(), "disabled-one", "viewer")
	if err != nil {
		t.Fatal(err)
	}
	if a := s.send(t, "control-center", "PUT", "/users/"+off.id, s.people["admin+mfa"].token, map[string]any{"enabled": false}); a.status != 200 {
		t.Fatalf("%s", a.raw)
	}
	if _, err := s.hire(t.Context(), "wrong-one", "viewer"); err != nil {
		t.Fatal(err)
	}
	if err := s.hireRoot(t.Context(), "code-one"); err != nil {
		t.Fatal(err)
	}
	classes := map[string]map[string]any{
		"unknown":                 {"username": "unknown-one", "password": password},
		"unknown with a code":     {"username": "unknown-two", "password": password, "mfa_code": "000000"},
		"wrong password":          {"username": "wrong-one", "password": password + "x"},
		"disabled":                {"username": "disabled-one", "password": password},
		"wrong password and code": {"username": "code-one", "password": password + "x", "mfa_code": "000000"},
	}
	times, answers := map[string][]time.Duration{}, map[string]bool{}
	for range rounds {
		for class, body := range classes { // in random order
			began := time.Now()
			a := s.send(t, "control-center", "POST", "/auth/login", "", body)
			times[class] = append(times[class], time.Since(began))
			a.header.Del("Date")
			rid := a.header.Get("X-Request-Id")
			answers[strings.ReplaceAll(fmt.Sprint(a.status, sorted(a.header), string(a.raw)), rid, "RID")] = true
		}
	}
	if len(answers) != 1 {
		t.Errorf("%d different answers: %v", len(answers), answers)
	}
	slowest := time.Duration(0)
	for class := range classes {
		slowest = max(slowest, slices.Min(times[class]))
	}
	for class := range classes {
		if fastest := slices.Min(times[class]); fastest < slowest/2 {
			t.Errorf("%s is answered in %s, another class takes %s: the hash is skipped", class, fastest, slowest)
		}
	}
}

func sorted(h http.Header) []string {
	var lines []string
	for name, v := range h {
		lines = append(lines, name+": "+strings.Join(v, ","))
	}
	slices.Sort(lines)
	return lines
}

// TestSessions_idsAreNew is A49: each sign-in begins a session of its own, whatever ids the client brings along.
func TestSessions_idsAreNew(t *testing.T) {
	s := shared
	p, err := s.hire(t.Context(), "sessions-one", "viewer")
	if err != nil {
		t.Fatal(err)
	}
	var first struct{ SID, JTI string }
	payload(t, p.token, 1, &first)
	seen := map[string]bool{first.SID: true, first.JTI: true}
	for range 5 {
		a := s.send(t, "control-center", "POST", "/auth/login?sid="+first.SID, p.token, map[string]any{"username": p.name, "password": password},
			"Cookie: session="+first.SID+"; sid="+first.SID, "X-Session-Id: "+first.SID, "X-Request-Id: "+first.SID)
		var grant struct{ Token string }
		if a.data(t, &grant); a.status != 200 {
			t.Fatalf("%s", a.raw)
		}
		var next struct{ SID, JTI string }
		payload(t, grant.Token, 1, &next)
		if next.SID == "" || seen[next.SID] || seen[next.JTI] {
			t.Errorf("ids come again: %+v", next)
		}
		seen[next.SID], seen[next.JTI] = true, true
	}
}

// TestEscalation_ownRights is Z05: nobody gives himself or others more than he has, by any spelling of the request.
func TestEscalation_ownRights(t *testing.T) {
	s := shared
	for _, role := range []string{"viewer", "auditor", "developer", "operator", "admin"} {
		p := s.people[role]
		for _, body := range []map[string]any{{"roles": []string{"admin"}}, {"roles": append([]string{"admin"}, p.roles...)}, {"enabled": true}, {"roles": []string{}}, {"email": "new-" + role + "@example.com"},
			{"password": password + "!", "roles": []string{"admin"}}, {"password": password + "!", "enabled": true}} {
			if a := s.send(t, "control-center", "PUT", "/users/"+p.id, p.token, body); a.status != 403 {
				t.Errorf("%s with %v: %d %s", role, body, a.status, a.raw)
			}
		}
		for _, at := range [][2]string{{"POST", "/users/" + p.id + "/mfa/totp"}, {"DELETE", "/users/" + s.people["admin+mfa"].id + "/mfa"}, {"DELETE", "/users/" + s.people["viewer"].id}} {
			if a := s.send(t, "control-center", at[0], at[1], p.token, nil); a.status != 403 {
				t.Errorf("%s %s by %s: %d", at[0], at[1], role, a.status)
			}
		}
	}
}
