package token_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/token/tokentest"
)

var now = time.Unix(1_800_000_000, 0)

func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func claims() token.Claims {
	return token.Claims{Issuer: "provisioning-platform:d1", Subject: "0190a000-0000-7000-8000-000000000001",
		Audience: []string{"orchestrator", "control-center"}, ID: "j1", SessionID: "s1",
		IssuedAt: now.Unix() - 60, NotBefore: now.Unix() - 60, Expires: now.Unix() + 840, AuthTime: now.Unix() - 60,
		ACR: "aal2", AMR: []string{"pwd", "otp"}, Roles: []string{"admin"}, Username: "admin", AuthVersion: 3}
}

func sign(t testing.TB, c token.Claims, k ed25519.PrivateKey, kind token.Kind) string {
	t.Helper()
	raw, err := token.Sign(c, k, kind)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// verifier returns a verifier of the orchestrator that knows the key named "k".
func verifier(t testing.TB) (*token.Verifier, *token.KeySet, *token.Revocations) {
	t.Helper()
	keys, revoked := &token.KeySet{}, &token.Revocations{}
	if err := keys.Replace([]token.Key{token.NewKey(public(testKey("k")), token.Current)}); err != nil {
		t.Fatal(err)
	}
	return &token.Verifier{Issuer: "provisioning-platform:d1", Audience: token.Orchestrator, Keys: keys,
		Revoked: revoked.Check}, keys, revoked
}

func TestVerify_goodTokenComesBackWhole(t *testing.T) {
	v, _, _ := verifier(t)
	want := claims()
	for range 2 { // the second time from memory
		got, err := v.Verify(sign(t, want, testKey("k"), token.Access), now)
		if err != nil {
			t.Fatal(err)
		}
		if got.KeyID != token.KeyID(public(testKey("k"))) || got.Kind != token.Access {
			t.Fatalf("header: %q %q", got.KeyID, got.Kind)
		}
		got.KeyID, got.Kind = "", ""
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	}
}

func TestKeyID_isTheThumbprintOfRFC8037(t *testing.T) {
	// RFC 8037 A.3: the thumbprint of the key of A.1.
	pub, _ := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	full, _ := base64.RawURLEncoding.DecodeString("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
	if got := token.KeyID(pub); got != base64.RawURLEncoding.EncodeToString(full[:16]) {
		t.Fatal(got)
	}
}

// TestAttacks_areAllRefused is the table of bar rows A01 to A05, A10, A11 and A13, as a stranger
// can make them.
func TestAttacks_areAllRefused(t *testing.T) {
	v, _, _ := verifier(t)
	valid := sign(t, claims(), testKey("k"), token.Access)
	attacks := tokentest.Attacks(valid, public(testKey("k")))
	if len(attacks) < 150 {
		t.Fatalf("only %d attacks", len(attacks))
	}
	for _, warm := range []bool{false, true} { // a remembered good token must not help its forgeries
		for _, a := range attacks {
			if _, err := v.Verify(a.Token, now); !fault.Is(err, fault.Unauthenticated) {
				t.Errorf("warm %v: %s: %v", warm, a.Name, err)
			} else if fault.Of(err).Message != "the token is not valid; sign in again and retry with the new one" {
				t.Errorf("%s tells more than it should: %v", a.Name, err)
			}
		}
		if _, err := v.Verify(valid, now); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSigned_wrongClaimsAreRefused is the table of A05 to A10 with the services' own key.
func TestSigned_wrongClaimsAreRefused(t *testing.T) {
	v, _, _ := verifier(t)
	for _, a := range tokentest.Signed(sign(t, claims(), testKey("k"), token.Access), testKey("k")) {
		if _, err := v.Verify(a.Token, now); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", a.Name, err)
		}
	}
}

func TestVerify_saysWhyInTheCode(t *testing.T) {
	edit := func(f func(*token.Claims)) token.Claims { c := claims(); f(&c); return c }
	s := now.Unix()
	for code, c := range map[string]token.Claims{
		"token.issuer":        edit(func(c *token.Claims) { c.Issuer += "/" }),
		"token.audience":      edit(func(c *token.Claims) { c.Audience = []string{"control-center"} }),
		"token.expired":       edit(func(c *token.Claims) { c.Expires = s - 31 }),
		"token.not_yet_valid": edit(func(c *token.Claims) { c.NotBefore = s + 31 }),
		"token.lifetime":      edit(func(c *token.Claims) { c.Expires = c.IssuedAt + 24*3600 + 1 }),
		"token.claims":        edit(func(c *token.Claims) { c.SessionID = "" }),
		"":                    edit(func(c *token.Claims) { c.Expires, c.NotBefore = s-30, s-61; c.IssuedAt = s - 3600 }),
	} {
		v, _, _ := verifier(t)
		_, err := v.Verify(sign(t, c, testKey("k"), token.Access), now)
		if got := fault.CodeOf(err); err != nil && got != code || err == nil && code != "" {
			t.Errorf("want %q, got %v %s", code, err, got)
		}
	}
	v, _, _ := verifier(t)
	if _, err := v.Verify(sign(t, claims(), testKey("other"), token.Access), now); fault.CodeOf(err) != "token.unknown_key" {
		t.Error(err)
	}
	for _, kind := range []token.Kind{token.Service, "JWT"} {
		if _, err := v.Verify(sign(t, claims(), testKey("k"), kind), now); fault.CodeOf(err) != "token.type" {
			t.Errorf("typ %q: %v", kind, err)
		}
	}
}

// TestVerify_aServicesKeySpeaksForThatServiceOnly: the key decides kind and subject, whatever the
// token says.
func TestVerify_aServicesKeySpeaksForThatServiceOnly(t *testing.T) {
	keys, clients := &token.KeySet{}, &token.KeySet{}
	svc := token.NewKey(public(testKey("svc")), token.Current)
	svc.Service = "orchestrator"
	if err := errors.Join(keys.Replace([]token.Key{token.NewKey(public(testKey("k")), token.Current)}),
		clients.Replace([]token.Key{svc})); err != nil {
		t.Fatal(err)
	}
	everybody := func(token.Claims) string { return "everybody was signed out" }
	v := &token.Verifier{Issuer: "provisioning-platform:d1", Audience: token.ControlCenter, Keys: token.KeySources{keys, clients},
		Revoked: everybody}
	own := token.Claims{Issuer: v.Issuer, Subject: "service:orchestrator", Audience: []string{token.ControlCenter}, ID: "j",
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Unix() + 60}
	for range 2 { // the second time from memory
		got, err := v.Verify(sign(t, own, testKey("svc"), token.Service), now)
		if err != nil || got.Kind != token.Service || got.Service() != "orchestrator" {
			t.Fatalf("%+v: %v", got, err)
		}
	}
	person := claims()
	person.Subject = own.Subject
	if got := person.Service(); got != "" {
		t.Errorf("a person named like a service is the service %q", got)
	}
	for what, change := range map[string]func(*token.Claims){
		"another service": func(c *token.Claims) { c.Subject = "service:control-center" },
		"no service":      func(c *token.Claims) { c.Subject = "orchestrator" },
		"a person":        func(c *token.Claims) { c.Subject = claims().Subject },
		"roles":           func(c *token.Claims) { c.Roles = []string{"admin"} },
		"a session":       func(c *token.Claims) { c.SessionID = "s1" },
		"a second factor": func(c *token.Claims) { c.AMR = []string{"otp"} },
		"assurance":       func(c *token.Claims) { c.ACR = "aal2" }, "a sign-in": func(c *token.Claims) { c.AuthTime = now.Unix() },
		"a version": func(c *token.Claims) { c.AuthVersion = 1 }, "a name": func(c *token.Claims) { c.Username = "admin" },
		"a provider":    func(c *token.Claims) { c.Provider = "p" },
		"two audiences": func(c *token.Claims) { c.Audience = append(c.Audience, token.Orchestrator) },
	} {
		c := own
		c.Audience = slices.Clone(own.Audience)
		change(&c)
		if _, err := v.Verify(sign(t, c, testKey("svc"), token.Service), now); fault.CodeOf(err) != "token.claims" {
			t.Errorf("%s: %v", what, err)
		}
	}
	long := own
	long.Expires = now.Unix() + 121
	for what, raw := range map[string]string{
		"token.lifetime": sign(t, long, testKey("svc"), token.Service),
		"token.type":     sign(t, claims(), testKey("svc"), token.Access),
	} {
		if _, err := v.Verify(raw, now); fault.CodeOf(err) != what {
			t.Errorf("want %s: %v", what, err)
		}
	}
	if _, err := v.Verify(sign(t, own, testKey("k"), token.Service), now); fault.CodeOf(err) != "token.type" {
		t.Errorf("a key of people signs for a service: %v", err)
	}
}

func TestVerify_aRememberedTokenIsStillLookedAt(t *testing.T) {
	raw := sign(t, claims(), testKey("k"), token.Access)
	for name, spoil := range map[string]struct {
		do   func(*token.KeySet, *token.Revocations)
		at   time.Time
		code string
	}{
		"time":    {func(*token.KeySet, *token.Revocations) {}, now.Add(871 * time.Second), "token.expired"},
		"session": {func(_ *token.KeySet, r *token.Revocations) { r.Apply(token.RevokeSession("s1", 0)) }, now, "token.revoked"},
		"key":     {func(k *token.KeySet, _ *token.Revocations) { _ = k.Replace(nil) }, now, "token.unknown_key"},
		"retired": {func(k *token.KeySet, _ *token.Revocations) {
			key := token.NewKey(public(testKey("k")), token.Retiring)
			key.RetiredAt = claims().IssuedAt - 1
			_ = k.Replace([]token.Key{key})
		}, now, "token.key_retired"},
	} {
		v, keys, revoked := verifier(t)
		if _, err := v.Verify(raw, now); err != nil {
			t.Fatal(err)
		}
		spoil.do(keys, revoked)
		if _, err := v.Verify(raw, spoil.at); fault.CodeOf(err) != spoil.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVerify_noVariantOfARevokedTokenPasses is A16: what is revoked is the claim, not the text.
func TestVerify_noVariantOfARevokedTokenPasses(t *testing.T) {
	v, _, revoked := verifier(t)
	raw := sign(t, claims(), testKey("k"), token.Access)
	revoked.Apply(token.RevokeToken("j1", now.Unix()+1000))
	for i := range len(raw) {
		for _, c := range []string{"", "A", "=", ".", "-", raw[i:i+1] + raw[i:i+1], string(raw[i] ^ 1), string(raw[i] ^ 2)} {
			if _, err := v.Verify(raw[:i]+c+raw[i+1:], now); err == nil {
				t.Fatalf("accepted with %q at %d", c, i)
			}
		}
	}
}

func TestVerify_hugeInputIsCheap(t *testing.T) {
	v, _, _ := verifier(t)
	for _, raw := range []string{strings.Repeat(".", 100_000), strings.Repeat("A", 1<<20), strings.Repeat(".", 16<<10),
		strings.Repeat("[", 12<<10)} {
		r := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for range min(b.N, 100) {
				_, _ = v.Verify(raw, now)
			}
		})
		if per := r.AllocedBytesPerOp(); per > 64<<10 {
			t.Errorf("%d bytes of input cost %d bytes", len(raw), per)
		}
	}
}

// TestEd25519_edgesOfTheSignatureMaths is A13 with vectors of our own.
func TestEd25519_edgesOfTheSignatureMaths(t *testing.T) {
	v, _, _ := verifier(t)
	raw := sign(t, claims(), testKey("k"), token.Access)
	body := raw[:strings.LastIndexByte(raw, '.')]
	sig, _ := base64.RawURLEncoding.DecodeString(raw[len(body)+1:])
	try := func(name string, sig []byte) {
		if _, err := v.Verify(body+"."+base64.RawURLEncoding.EncodeToString(sig), now); err == nil {
			t.Error("accepted:", name)
		}
	}
	for n := range 64 {
		try(fmt.Sprint("cut to ", n), sig[:n])
	}
	try("longer", append(slices.Clone(sig), 0))
	try("zero", make([]byte, 64))
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	for k := int64(1); k < 16; k++ { // S + kL signs the same in a lax verifier
		s := slices.Clone(sig[32:])
		slices.Reverse(s)
		sum := new(big.Int).Add(new(big.Int).SetBytes(s), new(big.Int).Mul(order, big.NewInt(k)))
		if sum.BitLen() > 256 {
			break
		}
		le := sum.FillBytes(make([]byte, 32))
		slices.Reverse(le)
		try(fmt.Sprint("S + L times ", k), append(slices.Clone(sig[:32]), le...))
	}
	for i := range sig {
		flipped := slices.Clone(sig)
		flipped[i] ^= 0x80
		try(fmt.Sprint("bit of byte ", i), flipped)
	}
}

func TestKeys_ofSmallOrderAreRefused(t *testing.T) {
	identity := make([]byte, 32)
	identity[0] = 1
	// The trap: with the identity as key, R = identity and S = 0 sign every message.
	if !ed25519.Verify(identity, []byte("anything"), append(slices.Clone(identity), make([]byte, 32)...)) {
		t.Log("crypto/ed25519 has become stricter; this test may go")
	}
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	low := []*big.Int{big.NewInt(0), big.NewInt(1), new(big.Int).Sub(p, big.NewInt(1)), p, new(big.Int).Add(p, big.NewInt(1)),
		new(big.Int).Add(p, big.NewInt(18))} // the last: not canonical
	for _, y := range low {
		for _, sign := range []byte{0, 0x80} {
			le := y.FillBytes(make([]byte, 32))
			slices.Reverse(le)
			le[31] |= sign
			if err := new(token.KeySet).Replace([]token.Key{token.NewKey(le, token.Current)}); err == nil {
				t.Errorf("accepted %x", le)
			}
			jwks, _ := json.Marshal(token.Publish([]token.Key{token.NewKey(le, token.Current)}))
			if _, err := parseJWKS(jwks); err == nil {
				t.Errorf("parsed %x", le)
			}
		}
	}
}

// parseJWKS reads a set from its text, as clients do.
func parseJWKS(text []byte) ([]token.Key, error) {
	var set token.JWKS
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, err
	}
	return set.Parse()
}

func TestJWKS_roundTripAndRefusals(t *testing.T) {
	retiring := token.NewKey(public(testKey("old")), token.Retiring)
	retiring.RetiredAt, retiring.Until = 100, 200
	want := []token.Key{token.NewKey(public(testKey("k")), token.Current), retiring}
	b, _ := json.Marshal(token.Publish(want))
	got, err := parseJWKS(b)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%v %v", got, err)
	}
	for from, to := range map[string]string{`"OKP"`: `"EC"`, `"Ed25519"`: `"X25519"`, `"EdDSA"`: `"HS256"`, `"sig"`: `"enc"`,
		want[0].ID: want[1].ID, `"current"`: `"strange"`, `{"keys"`: `["keys"`} {
		if _, err := parseJWKS([]byte(strings.Replace(string(b), from, to, 1))); err == nil {
			t.Errorf("accepted with %s for %s", to, from)
		}
	}
}

func TestRevocations_eachKindAndItsEdges(t *testing.T) {
	c := claims()
	c.KeyID, c.Provider = "kid", "idp1"
	for name, row := range map[string]struct {
		item    token.Revocation
		revoked bool
	}{
		"session":        {token.RevokeSession("s1", 9), true},
		"other session":  {token.RevokeSession("s2", 9), false},
		"older version":  {token.RevokeSubject(c.Subject, 4, 9), true},
		"same version":   {token.RevokeSubject(c.Subject, 3, 9), false},
		"token":          {token.RevokeToken("j1", 9), true},
		"key":            {token.RevokeKey("kid"), true},
		"provider":       {token.Revocation{Kind: token.ByProvider, Value: "idp1", At: c.IssuedAt}, true},
		"provider later": {token.Revocation{Kind: token.ByProvider, Value: "idp1", At: c.IssuedAt - 1}, false},
		"all":            {token.Revocation{Kind: token.ByAll, At: c.IssuedAt}, true},
		"unknown kind":   {token.Revocation{Kind: "new", Value: "s1"}, false},
	} {
		var r token.Revocations
		r.Apply(row.item)
		if got := r.Check(c); (got != "") != row.revoked {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestRevocations_anOlderItemNeverWeakens(t *testing.T) {
	var r token.Revocations
	strong := token.RevokeSubject("u", 7, 100)
	strong.Seq = 5
	weak := token.RevokeSubject("u", 6, 50)
	weak.Seq = 4
	if !r.Apply(strong) || r.Apply(weak) || r.Apply(strong) {
		t.Fatal("applied what changes nothing")
	}
	if gone := r.Expire(131 + token.ForgetAfter); len(gone) != 1 || r.Head() != 5 {
		t.Fatal(gone, r.Head())
	}
	r.Restore([]token.Revocation{strong}, 9)
	if got := r.Snapshot(); len(got) != 1 || !reflect.DeepEqual(got[0], strong) || r.Head() != 9 {
		t.Fatal(got, r.Head())
	}
	if len(r.Expire(130+token.ForgetAfter)) != 0 {
		t.Fatal("forgot within the leeway")
	}
}

// TestRevocations_aClockThatWasAheadRevivesNothing sets the clock ahead by an hour, lets that pass
// by, and sets it right: the token that was revoked for its last quarter of an hour was good again.
func TestRevocations_aClockThatWasAheadRevivesNothing(t *testing.T) {
	t.Parallel()
	var r token.Revocations
	const now = 1_790_000_000
	r.Apply(token.RevokeSession("s", now+900))
	r.Apply(token.RevokeSubject("u", 2, now+900))
	if gone := r.Expire(now + 3600); len(gone) != 0 || r.Check(token.Claims{SessionID: "s"}) == "" ||
		r.Check(token.Claims{Subject: "u", AuthVersion: 1}) == "" {
		t.Errorf("forgotten while the clock was ahead: %v", gone)
	}
	if gone := r.Expire(now + 900 + 2*token.ForgetAfter); len(gone) != 2 {
		t.Errorf("never forgotten: %v", gone)
	}
}

// FuzzVerify: no text but a signed one is ever accepted, and nothing panics.
// It is A15 for the verifier, reduced to its seeds in the gate: no mutation of a valid token
// verifies.
func FuzzVerify(f *testing.F) {
	v, _, _ := verifier(f)
	valid := sign(f, claims(), testKey("k"), token.Access)
	f.Add(valid)
	for _, a := range tokentest.Attacks(valid, public(testKey("k"))) {
		if len(a.Token) < 4096 {
			f.Add(a.Token)
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if _, err := v.Verify(raw, now); (err == nil) != (raw == valid) {
			t.Fatalf("%q: %v", raw, err)
		}
	})
}

// FuzzClaims signs whatever payload comes and compares with a second reading of the same rules.
// It is A15 for the claims, reduced in the same way.
func FuzzClaims(f *testing.F) {
	v, _, _ := verifier(f)
	valid := sign(f, claims(), testKey("k"), token.Access)
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(valid, ".")[1])
	f.Add(payload)
	for _, a := range tokentest.Signed(valid, testKey("k")) {
		if parts := strings.Split(a.Token, "."); len(parts) == 3 && len(a.Token) < 4096 {
			if p, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
				f.Add(p)
			}
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		raw := tokentest.Forge(strings.Split(valid, ".")[0], payload, testKey("k"))
		c, err := v.Verify(raw, now)
		if err != nil {
			return
		}
		var m map[string]any
		if json.Unmarshal(payload, &m) != nil || m["iss"] != c.Issuer || m["sub"] != c.Subject || m["exp"] != float64(c.Expires) {
			t.Fatalf("a second parser reads other claims: %q", payload)
		}
		if c.Expires <= now.Unix()-31 || !slices.Contains(c.Audience, "orchestrator") ||
			slices.Contains(slices.Collect(maps.Keys(m)), "") && c.Subject == "" {
			t.Fatalf("accepted %q", payload)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	raw := sign(b, claims(), testKey("k"), token.Access)
	body, sig := raw[:strings.LastIndexByte(raw, '.')], []byte(nil)
	sig, _ = base64.RawURLEncoding.DecodeString(raw[len(body)+1:])
	b.Run("limit=ed25519", func(b *testing.B) {
		for b.Loop() {
			ed25519.Verify(public(testKey("k")), []byte(body), sig)
		}
	})
	b.Run("first", func(b *testing.B) {
		_, keys, revoked := verifier(b)
		for b.Loop() {
			v := &token.Verifier{Issuer: "provisioning-platform:d1", Audience: token.Orchestrator, Keys: keys, Revoked: revoked.Check}
			if _, err := v.Verify(raw, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		v, _, _ := verifier(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(raw, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sign", func(b *testing.B) {
		k := testKey("k")
		for b.Loop() {
			sign(b, claims(), k, token.Access)
		}
	})
}
