package security

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
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
			counts[a.Status]++
			mu.Unlock()
		})
	}
	close(begin)
	all.Wait()
	return counts
}

// coded makes an account with a second factor and returns a code that it takes now, and one that it
// takes after that.
func (s *site) coded(t *testing.T, name, kind string) (code, next string) {
	t.Helper()
	if err := s.hireRoot(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	second := s.people[name].second
	if kind == "recovery" {
		return second.RecoveryCodes[0], second.RecoveryCodes[1]
	}
	step := time.Now().Unix() / 30
	code, err := rig.TOTP(second.Secret, step)
	if err != nil {
		t.Fatal(err)
	}
	if next, err = rig.TOTP(second.Secret, step+1); err != nil { // one step ahead is within the drift
		t.Fatal(err)
	}
	return code, next
}

// TestCodes_oneCodeOneSignIn is A32 at the built binary: fifty sign-ins at once with one code are
// one success.
func TestCodes_oneCodeOneSignIn(t *testing.T) {
	s := shared
	for _, kind := range []string{"totp", "recovery"} {
		name := "codes-" + kind
		code, _ := s.coded(t, name, kind)
		counts := s.tries(t, 50, "/auth/login", map[string]any{"username": name, "password": password, "mfa_code": code})
		// As many as fit into the queue of hashes are judged (A48); a crowd that is turned away
		// unjudged would show nothing.
		if counts[200] != 1 || counts[401] < 40 || counts[200]+counts[401]+counts[429]+counts[503] != 50 {
			t.Errorf("%s: the statuses of fifty sign-ins are %v, want one 200 and at least forty 401", kind, counts)
		}
	}
}

// spellings are ways to write a code that somebody careless would take for another one, or for a
// new one (A30).
var spellings = []func(code string) string{
	func(c string) string { return c },
	func(c string) string { return " " + c },
	func(c string) string { return c + " " },
	func(c string) string { return "  " + c + "  " },
	func(c string) string { return "\t" + c },
	func(c string) string { return c + "\t" },
	func(c string) string { return c + "\n" },
	func(c string) string { return c + "\r\n" },
	func(c string) string { return c + "\v" },
	func(c string) string { return "\u00a0" + c },
	func(c string) string { return c + "\u00a0" },
	func(c string) string { return c + "\u2003" },
	func(c string) string { return "\u3000" + c },
	func(c string) string { return c + "\u200b" },
	func(c string) string { return "\u200b" + c },
	func(c string) string { return "\ufeff" + c },
	func(c string) string { return "\u202e" + c },
	func(c string) string { return "\u00ad" + c },
	func(c string) string { return c + "\x00" },
	func(c string) string { return "\x00" + c },
	func(c string) string { return "+" + c },
	func(c string) string { return "-" + c },
	func(c string) string { return digits(c, '０') },
	func(c string) string { return digits(c, '٠') },
	func(c string) string { return digits(c, '०') },
	func(c string) string { return digits(c[:1], '０') + c[1:] },
	func(c string) string { return c[:3] + " " + c[3:] },
	func(c string) string { return c[:3] + "-" + c[3:] },
	func(c string) string { return c[:3] + "\u00a0" + c[3:] },
	func(c string) string { return strings.ToUpper(c) },
	func(c string) string { return strings.ReplaceAll(c, "-", "") },
	func(c string) string { return strings.ToUpper(strings.ReplaceAll(c, "-", "")) },
	func(c string) string { return hexadecimal(c) },
	func(c string) string { return c + "0" },
	func(c string) string { return "0" + c },
	func(c string) string { return "00" + c },
	func(c string) string { return c + ".0" },
	func(c string) string { return c + "e0" },
	func(c string) string { return c[:len(c)-1] },
	func(c string) string { return c + c },
	func(c string) string { return c + "," + c },
	func(c string) string { return "\"" + c + "\"" },
}

// digits writes the digits of another script, whose zero is given.
func digits(s string, zero rune) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r - '0' + zero
		}
		return r
	}, s)
}

// hexadecimal writes a number in another base, and letters as their bytes.
func hexadecimal(s string) string {
	if n, err := strconv.Atoi(s); err == nil {
		return fmt.Sprintf("0x%x", n)
	}
	return fmt.Sprintf("%x", s)
}

// TestCodes_spentInEverySpelling is A30: after a sign-in its code is refused however it is written.
// Five wrong codes suspend a factor, so each account stands for four spellings, and a fresh code at
// the end shows that codes were still looked at.
func TestCodes_spentInEverySpelling(t *testing.T) {
	s := shared
	for _, kind := range []string{"totp", "recovery"} {
		account := 0
		for few := range slices.Chunk(spellings, 4) {
			account++
			name := fmt.Sprintf("spelled-%s-%d", kind, account)
			code, next := s.coded(t, name, kind)
			try := func(code string) answer {
				return s.send(t, "control-center", "POST", "/auth/login", "",
					map[string]any{"username": name, "password": password, "mfa_code": code})
			}
			if a := try(code); a.Status != 200 {
				t.Fatalf("%s: a good code: status %d, want 200: %s", kind, a.Status, a.Raw)
			}
			for _, spell := range few {
				if a := try(spell(code)); a.Status != 401 && a.Status != 422 {
					t.Errorf("%s: the spent code as %q: status %d, want 401 or 422: %s", kind, spell(code), a.Status, a.Raw)
				}
			}
			if a := try(next); a.Status != 200 {
				t.Errorf("%s: a fresh code after four that were refused: status %d, want 200: %s", kind, a.Status, a.Raw)
			}
		}
	}
}

// TestRefresh_raceHasOneSuccessor is A20 and A21 at the built binary: the uses of one refresh token
// at once lead to one pair, and its use after its successor was used ends the session at both
// services.
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
			if a := s.send(t, "control-center", "POST", "/auth/refresh", "", map[string]any{"token": first.Refresh}); a.Status == 200 {
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
		return s.send(t, service, "GET", path, third.Token, nil).Status != 401
	}
	if !alive("orchestrator", "/tasks") || !alive("control-center", "/users/"+p.id) {
		t.Fatal("the newest token is refused")
	}
	if a := s.send(t, "control-center", "POST", "/auth/refresh", "", map[string]any{"token": first.Refresh}); a.Status != 401 {
		t.Errorf("reuse: %d %s", a.Status, a.Raw)
	}
	if alive("control-center", "/users/"+p.id) {
		t.Error("after the reuse the session goes on at home")
	}
	began := time.Now()
	rigtest.Await(t, patience, "the orchestrator refuses the session", func() bool { return !alive("orchestrator", "/tasks") })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the orchestrator took %s", took)
	}
	if a := s.send(t, "control-center", "POST", "/auth/refresh", "", map[string]any{"token": third.Refresh}); a.Status != 401 {
		t.Errorf("the family lives: %d", a.Status)
	}
}

// TestSessions_idsAreNew is A49: each sign-in begins a session of its own, whatever ids the client
// brings along.
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
		a := s.send(t, "control-center", "POST", "/auth/login?sid="+first.SID, p.token,
			map[string]any{"username": p.name, "password": password},
			"Cookie: session="+first.SID+"; sid="+first.SID, "X-Session-Id: "+first.SID, "X-Request-Id: "+first.SID)
		var grant struct{ Token string }
		if a.data(t, &grant); a.Status != 200 {
			t.Fatalf("%s", a.Raw)
		}
		var next struct{ SID, JTI string }
		payload(t, grant.Token, 1, &next)
		if next.SID == "" || seen[next.SID] || seen[next.JTI] {
			t.Errorf("ids come again: %+v", next)
		}
		seen[next.SID], seen[next.JTI] = true, true
	}
}

// TestEscalation_ownRights is Z05: nobody gives himself or others more than he has, by any spelling
// of the request.
func TestEscalation_ownRights(t *testing.T) {
	s := shared
	for _, role := range []string{"viewer", "auditor", "developer", "operator", "admin"} {
		p := s.people[role]
		for _, body := range []map[string]any{{"roles": []string{"admin"}}, {"roles": append([]string{"admin"}, p.roles...)},
			{"enabled": true}, {"roles": []string{}}, {"email": "new-" + role + "@example.com"},
			{"password": password + "!", "roles": []string{"admin"}}, {"password": password + "!", "enabled": true}} {
			if a := s.send(t, "control-center", "PUT", "/users/"+p.id, p.token, body); a.Status != 403 {
				t.Errorf("%s with %v: %d %s", role, body, a.Status, a.Raw)
			}
		}
		for _, at := range [][2]string{{"POST", "/users/" + p.id + "/mfa/totp"}, {"DELETE", "/users/" + s.people["admin+mfa"].id + "/mfa"},
			{"DELETE", "/users/" + s.people["viewer"].id}} {
			if a := s.send(t, "control-center", at[0], at[1], p.token, nil); a.Status != 403 {
				t.Errorf("%s %s by %s: %d", at[0], at[1], role, a.Status)
			}
		}
	}
}

// TestAccounts_namesAndPasswordsOfTheAPI is point 10 at the built binary: what looks like another
// name, domains that cannot be, one mailbox in two spellings, and passwords that repeat the
// account.
func TestAccounts_namesAndPasswordsOfTheAPI(t *testing.T) {
	s := shared
	for _, c := range []struct {
		username, email, password string
		status                    int
	}{
		{"admіn", "a@example.com", password, 422}, // a Cyrillic letter
		{"देवदत्त", "devadatta@example.com", password, 201},
		{"-oProxyCommand=x", "o@example.com", password, 422},
		{"impossible", "i@-x.example", password, 422},
		{"umlaut", "post@müller-umlaut.example", password, 201},
		{"punycode", "post@xn--mller-umlaut-dlb.example", password, 409},
		{"maximiliane.mustermann", "m.mustermann@firma-mustermann.example", "M.Mustermann@FIRMA-mustermann.EXAMPLE", 422},
		{"maximiliane.mustermann", "m.mustermann@firma-mustermann.example", "maximiliane_mustermann", 422},
		{"digits", "digits@example.com", "837450192645018273645091", 201},
	} {
		a := s.send(t, "control-center", "POST", "/users", s.Token.Reveal(),
			map[string]any{"username": c.username, "email": c.email, "password": c.password, "roles": []string{"viewer"}})
		if a.Status != c.status {
			t.Errorf("%s <%s>: %d, want %d: %s", c.username, c.email, a.Status, c.status, a.Raw)
		}
	}
}
