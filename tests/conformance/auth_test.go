package conformance

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// secretText shortens literals of token maps.
type secretText = secret.Text

// authentication holds section 3.8 as far as this release has it.
var authentication = []behaviour{
	{101, "a_good_login_gives_a_signed_token_that_says_when_it_ends", func(t *testing.T, e *env) {
		u := e.factor("login")
		a := e.want(e.logIn(u.name, password, u.code(t)), 200)
		var s struct {
			Token     string    `json:"token"`
			ExpiresAt time.Time `json:"expires_at"`
			User      struct {
				ID, Username, Email string
				Roles               []string
			}
		}
		a.into(t, &s)
		head, claims := decodeToken(t, s.Token)
		if alg := head["alg"]; alg != "EdDSA" && alg != "Ed25519" && alg != "RS256" {
			t.Errorf("alg is %v", alg)
		}
		for _, c := range []string{"sub", "jti", "iat", "iss", "aud", "exp"} {
			if claims[c] == nil {
				t.Errorf("claim %s is missing", c)
			}
		}
		if exp := int64(claims["exp"].(float64)); exp != s.ExpiresAt.Unix() {
			t.Errorf("exp %d, expires_at %s", exp, s.ExpiresAt)
		}
		if claims["sub"] != s.User.ID || s.User.Username != u.name || len(s.User.Roles) != 1 || s.User.Email == "" {
			t.Errorf("%+v", s.User)
		}
	}},
	{102, "every_wrong_login_gets_the_same_answer", func(t *testing.T, e *env) {
		u := e.factor("wrong")
		disabled := e.createUser(e.name("off"), "viewer")
		e.want(e.cc("admin", "PUT", "/users/"+disabled.ID, map[string]any{"enabled": false}), 200)
		var texts []string
		for _, a := range []answer{e.logIn("nobody-at-all", password, ""), e.logIn(u.name, "not the right passphrase", "123456"),
			e.logIn(u.name, password, "000000"), e.logIn(disabled.Username, password, "")} {
			e.want(a, 401)
			texts = append(texts, a.Error+a.Code)
		}
		for _, text := range texts[1:] {
			if text != texts[0] {
				t.Errorf("answers differ: %q", texts)
			}
		}
	}},
	{103, "a_missing_code_is_asked_for_only_after_a_right_password", func(t *testing.T, e *env) {
		u := e.factor("missing")
		if a := e.want(e.logIn(u.name, password, ""), 401); !strings.HasPrefix(a.Error, "MFA code required") {
			t.Errorf("%q", a.Error)
		}
		if a := e.want(e.logIn(u.name, "not the right passphrase", ""), 401); strings.HasPrefix(a.Error, "MFA code required") {
			t.Errorf("%q", a.Error)
		}
	}},
	{104, "codes_of_the_neighbouring_steps_work_once", func(t *testing.T, e *env) {
		for offset, want := range map[int64][]int{-2: {401, 401, 200}, -1: {200, 401}, 0: {200, 401}, 1: {200, 401}, 2: {401, 401, 200}} {
			var got []int
			e.inOneStep(func(step int64) {
				u := e.enrolled("step") // none of its codes was used
				got = nil
				for _, s := range []int64{step + offset, step + offset, step}[:len(want)] {
					got = append(got, e.logIn(u.name, password, u.at(t, s)).Status)
				}
			})
			if !slices.Equal(got, want) {
				t.Errorf("the code of step %+d, the same again and the present one are answered with %v, want %v", offset, got, want)
			}
		}
	}},
	{105, "codes_are_six_digits_and_backup_codes_work_once", func(t *testing.T, e *env) {
		const each = 4 // spellings to an account: after five wrong codes none is looked at
		for from := 0; from < len(misspelled("000000")); from += each {
			var bad []any
			var answers []answer
			var good answer
			e.inOneStep(func(step int64) {
				u := e.enrolled("digits")
				code := u.at(t, step)
				bad, answers = misspelled(code)[from:], nil
				bad = bad[:min(each, len(bad))]
				for _, b := range bad {
					answers = append(answers,
						e.cc("", "POST", "/auth/login", map[string]any{"username": u.name, "password": password, "mfa_code": b}))
				}
				good = e.logIn(u.name, password, code)
			})
			for i, a := range answers {
				if a.Status != 401 && a.Status != 422 {
					t.Errorf("mfa_code %#v is answered with %d, want 401 or 422", bad[i], a.Status)
				}
			}
			e.want(good, 200)
		}
		v := e.factor("backup")
		e.want(e.logIn(v.name, password, v.backup[0]), 200)
		e.want(e.logIn(v.name, password, v.backup[0]), 401)
	}},
	{107, "a_disabled_account_gets_no_token", func(t *testing.T, e *env) {
		u := e.createUser(e.name("disabled"), "viewer")
		e.want(e.cc("admin", "PUT", "/users/"+u.ID, map[string]any{"enabled": false}), 200)
		e.want(e.logIn(u.Username, password, ""), 401, 403)
	}},
	{108, "members_are_required_and_names_are_exact", func(t *testing.T, e *env) {
		u := e.createUser(e.name("exact"), "viewer")
		for _, body := range []map[string]any{{}, {"username": u.Username}, {"password": password}} {
			e.want(e.cc("", "POST", "/auth/login", body), 422, 400)
		}
		e.want(e.logIn(" "+u.Username, password, ""), 401)
		e.want(e.logIn(u.Username+" ", password, ""), 401)
		e.want(e.logIn(u.Username, " "+password, ""), 401)
	}},
	{109, "the_sixth_login_in_a_minute_from_one_address_waits", func(t *testing.T, e *env) {
		l := e.limited()
		u := l.createUser("limited", "viewer")
		for range 5 {
			l.want(l.logInFrom("127.0.0.2", u.Username, "not the right passphrase"), 401)
		}
		if a := l.want(l.logInFrom("127.0.0.2", u.Username, "not the right passphrase"), 429); a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		l.want(l.logInFrom("127.0.0.2", u.Username, password), 429)
		l.want(l.logInFrom("127.0.0.3", u.Username, password), 200)
	}},
	{110, "repeated_failures_slow_an_account_down", func(t *testing.T, e *env) {
		u := e.createUser(e.name("guessed"), "viewer")
		// The first pause is a second; a machine that takes longer for a sign-in tries again.
		e.await(time.Minute, "the right password is refused after twelve failures", func() bool {
			for range 12 {
				e.want(e.logIn(u.Username, "not the right passphrase", ""), 401, 429)
			}
			return e.logIn(u.Username, password, "").Status != 200
		})
		e.await(70*time.Second, "the right password works again", func() bool { return e.logIn(u.Username, password, "").Status == 200 })
	}},
	{111, "refresh_gives_a_new_token_and_ends_the_old_one_everywhere", func(t *testing.T, e *env) {
		u := e.createUser(e.name("refresh"), "viewer")
		old := e.login(u.Username, password).Reveal()
		_, before := decodeToken(t, old)
		var s struct{ Token string }
		e.want(e.refresh(old), 200).into(t, &s)
		_, after := decodeToken(t, s.Token)
		if before["jti"] == after["jti"] || after["exp"].(float64) < before["exp"].(float64) {
			t.Errorf("%v then %v", before, after)
		}
		e.want(e.withToken(old, e.ControlCenter.Address, "/users/"+u.ID), 401)
		e.await(5*time.Second, "the orchestrator refuses the old token",
			func() bool { return e.withToken(old, e.Orchestrator.Address, "/tasks").Status == 401 })
		e.want(e.withToken(s.Token, e.Orchestrator.Address, "/tasks"), 200)
	}},
	{112, "bad_refresh_tokens_are_refused", func(t *testing.T, e *env) {
		for _, bad := range []string{"garbage", "rt_garbage", "", e.Token.Reveal() + "x"} {
			e.want(e.refresh(bad), 401)
		}
		e.want(e.cc("", "POST", "/auth/refresh", map[string]any{}), 422)

		gone := e.session(e.createUser(e.name("out"), "viewer").Username, password)
		e.want(e.do(request{base: e.ControlCenter.Address, method: "POST", path: "/auth/logout", token: gone.Token.Reveal()}), 200)
		e.want(e.refresh(gone.Token.Reveal()), 401)
		e.want(e.refresh(gone.RefreshToken.Reveal()), 401)

		f := e.fresh(tokenSettings(t, "access_ttl = \"1m\"\nrefresh_idle = \"75s\"\n"))
		f.createUser("stranger", "viewer")
		for _, foreign := range []secretText{f.session("stranger", password).Token, f.session("stranger", password).RefreshToken} {
			e.want(e.refresh(foreign.Reveal()), 401)
			f.want(f.refresh(foreign.Reveal()), 200) // where it is from, it is good
		}
		short, long := f.session("stranger", password), f.session("stranger", password)
		f.await(70*time.Second, "the access token has expired", func() bool { return time.Now().After(short.ExpiresAt) })
		f.want(f.refresh(short.Token.Reveal()), 401)
		f.want(f.refresh(short.RefreshToken.Reveal()), 200) // it was the token: its session goes on
		f.await(30*time.Second, "the refresh token has expired", func() bool { return time.Now().After(long.RefreshExpiresAt) })
		f.want(f.refresh(long.RefreshToken.Reveal()), 401)
	}},
	{113, "refresh_needs_no_authorization_header", func(t *testing.T, e *env) {
		u := e.createUser(e.name("bare"), "viewer")
		e.want(e.refresh(e.login(u.Username, password).Reveal()), 200)
	}},
	{114, "a_refreshed_token_has_the_roles_of_now", func(t *testing.T, e *env) {
		u := e.createUser(e.name("promoted"), "viewer")
		s := e.session(u.Username, password)
		e.want(e.cc("admin", "PUT", "/users/"+u.ID, map[string]any{"roles": []string{"operator"}}), 200)
		var fresh struct{ Token string }
		if a := e.refresh(s.RefreshToken.Reveal()); a.Status == 200 {
			a.into(t, &fresh)
		} else {
			e.want(a, 401) // the role change ended the session: also safe
			fresh.Token = e.login(u.Username, password).Reveal()
		}
		if _, claims := decodeToken(t, fresh.Token); fmt.Sprint(claims["roles"]) != "[operator]" {
			t.Errorf("the new token has the roles %v, want operator alone", claims["roles"])
		}
		e.want(e.cc("admin", "PUT", "/users/"+u.ID, map[string]any{"enabled": false}), 200)
		e.want(e.refresh(fresh.Token), 401)
	}},
	{115, "logout_ends_the_token_on_both_services", func(t *testing.T, e *env) {
		u := e.createUser(e.name("leaving"), "viewer")
		tok := e.login(u.Username, password).Reveal()
		e.want(e.withToken(tok, e.Orchestrator.Address, "/tasks"), 200)
		out := request{base: e.ControlCenter.Address, method: "POST", path: "/auth/logout", token: tok}
		if a := e.want(e.do(out), 200); string(a.Data) != `"Successfully logged out"` {
			t.Errorf("%s", a.Data)
		}
		e.want(e.do(out), 401)
		e.await(5*time.Second, "the orchestrator refuses the token",
			func() bool { return e.withToken(tok, e.Orchestrator.Address, "/tasks").Status == 401 })
	}},
	{116, "after_a_key_rotation_old_tokens_work_and_new_ones_have_the_new_key", func(t *testing.T, e *env) {
		u := e.createUser(e.name("keys"), "viewer")
		old := e.login(u.Username, password).Reveal()
		e.want(e.cc("admin", "POST", "/keys/rotate", nil), 200, 201)
		fresh := e.login(u.Username, password).Reveal()
		oldHead, _ := decodeToken(t, old)
		freshHead, _ := decodeToken(t, fresh)
		if oldHead["kid"] == freshHead["kid"] {
			t.Error("the key did not change")
		}
		for _, tok := range []string{old, fresh} {
			e.want(e.withToken(tok, e.ControlCenter.Address, "/users/"+u.ID), 200, 403)
			e.await(5*time.Second, "the orchestrator knows both keys",
				func() bool { return e.withToken(tok, e.Orchestrator.Address, "/tasks").Status == 200 })
		}
	}},
	{117, "without_the_control_center_good_tokens_work_and_revoked_ones_do_not", func(t *testing.T, e *env) {
		f := e.fresh()
		u := f.createUser("gone", "viewer")
		gone := f.login(u.Username, password).Reveal()
		f.want(f.do(request{base: f.ControlCenter.Address, method: "POST", path: "/auth/logout", token: gone}), 200)
		f.await(5*time.Second, "the orchestrator knows",
			func() bool { return f.withToken(gone, f.Orchestrator.Address, "/tasks").Status == 401 })
		if err := f.ControlCenter.Kill(); err != nil {
			t.Fatal(err)
		}
		f.want(f.withToken(f.Token.Reveal(), f.Orchestrator.Address, "/tasks"), 200)
		f.want(f.withToken(gone, f.Orchestrator.Address, "/tasks"), 401)
		// Decision 5: what changes something waits until revocations are heard of again.
		f.await(10*time.Second, "changes are refused", func() bool {
			a := f.orch("admin", "POST", "/rollback/checkpoints", map[string]any{"name": "x"})
			return a.Status == 503 && a.Header.Get("Retry-After") != ""
		})
		if err := f.ControlCenter.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.await(10*time.Second, "changes work again", func() bool {
			return f.orch("admin", "POST", "/rollback/checkpoints", map[string]any{"name": "x"}).Status == 201
		})
	}},
}

// mfaUser is a user with a second factor.
type mfaUser struct {
	name, secret string
	backup       []string
	enrolledAt   int64 // step of the code that confirmed the enrolment
}

func (u mfaUser) at(t *testing.T, step int64) string {
	t.Helper()
	code, err := rig.TOTP(u.secret, step)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// code returns a code that was not used at enrolment: the next step's is accepted too.
func (u mfaUser) code(t *testing.T) string {
	return u.at(t, max(time.Now().Unix()/30, u.enrolledAt+1))
}

// factor creates a viewer and enrols a TOTP factor as the user would.
func (e *env) factor(stem string) mfaUser {
	e.t.Helper()
	u := mfaUser{name: e.name(stem)}
	e.createUser(u.name, "viewer")
	tok := e.login(u.name, password).Reveal()
	var enrolment struct {
		Secret        string   `json:"secret"`
		RecoveryCodes []string `json:"recovery_codes"`
	}
	e.want(e.do(request{base: e.ControlCenter.Address, method: "POST", path: "/mfa/enroll/totp", token: tok}), 200, 201).into(e.t,
		&enrolment)
	u.secret, u.backup = enrolment.Secret, enrolment.RecoveryCodes
	u.enrolledAt = time.Now().Unix()/30 - 1 // an old code confirms, so that the present one stays unused
	e.want(e.do(request{base: e.ControlCenter.Address, method: "POST", path: "/mfa/verify", token: tok,
		body: map[string]any{"code": u.at(e.t, u.enrolledAt)}}), 200)
	return u
}

// enrolled creates a viewer with a factor from the administrator, so that no code of it was used
// yet.
func (e *env) enrolled(stem string) mfaUser {
	e.t.Helper()
	u := mfaUser{name: e.name(stem)}
	id := e.createUser(u.name, "viewer").ID
	var enrolment struct{ Secret string }
	e.want(e.cc("admin", "POST", "/users/"+id+"/mfa/totp", nil), 200, 201).into(e.t, &enrolment)
	u.secret = enrolment.Secret
	return u
}

// misspelled returns what is no code of six digits, made from one that is good: only the form can
// be what is refused.
func misspelled(code string) []any {
	number, _ := strconv.Atoi(code)
	wide := strings.Map(func(d rune) rune { return d - '0' + '\uff10' }, code)
	return []any{number, code[:5], code + "0", "0" + code, " " + code, code + " ", code + "\n", "\u00a0" + code, code[:3] + " " + code[3:],
		code[:3] + "-" + code[3:], "+" + code, "-" + code, wide, code + "," + code, code + ".0", "abcdef"}
}

// inOneStep runs try until it began and ended in the same TOTP step, which it is told.
func (e *env) inOneStep(try func(step int64)) {
	e.t.Helper()
	e.await(2*time.Minute, "all tries fall into one step", func() bool {
		step := time.Now().Unix() / 30
		try(step)
		return time.Now().Unix()/30 == step
	})
}

func (e *env) logIn(name, pass, code string) answer {
	e.t.Helper()
	body := map[string]any{"username": name, "password": pass}
	if code != "" {
		body["mfa_code"] = code
	}
	return e.cc("", "POST", "/auth/login", body)
}

// logInFrom signs in without a code, from a loopback address.
func (e *env) logInFrom(address, name, pass string) answer {
	e.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	caller := http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
	body := fmt.Sprintf(`{"username":%q,"password":%q}`, name, pass)
	resp, err := caller.Post(e.ControlCenter.Address+"/auth/login", "application/json", strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return opened(rigtest.Answer{Status: resp.StatusCode, Header: resp.Header, Raw: raw})
}

func (e *env) refresh(tok string) answer {
	e.t.Helper()
	return e.cc("", "POST", "/auth/refresh", map[string]any{"token": tok})
}

func (e *env) withToken(tok, base, path string) answer {
	e.t.Helper()
	return e.do(request{base: base, method: "GET", path: path, token: tok})
}

// userID returns the id of the suite's user with that role.
func (e *env) userID(role string) string {
	_, claims := decodeToken(e.t, e.tokens[role].Reveal())
	return claims["sub"].(string)
}

// decodeToken returns header and claims of a JWT without verifying it.
func decodeToken(t *testing.T, tok string) (head, claims map[string]any) {
	t.Helper()
	parts := strings.Split(tok, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %.20s", tok)
	}
	for i, into := range []*map[string]any{&head, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	return head, claims
}
