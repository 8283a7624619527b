package app

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/token/tokentest"
)

// signer returns the key that signs this deployment's tokens, opened from its data folder.
func (r *running) signer() ed25519.PrivateKey {
	r.t.Helper()
	sealer, err := seal.Open(instance.Folder(r.dir).Keys())
	if err != nil {
		r.t.Fatal(err)
	}
	file, err := bootstrap.Load(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, k := range file.Keys {
		if k.State == token.Current {
			seed, err := sealer.Open(keys.Kinds()[0].Name, k.ID, "private", k.Private)
			if err != nil {
				r.t.Fatal(err)
			}
			return ed25519.NewKeyFromSeed(seed)
		}
	}
	r.t.Fatal("no key signs")
	return nil
}

// TestService_refusesWrongTokensOfItsOwnKey is A05 to A10 at the whole service: what a fault in an
// issuer, or a token meant for somebody else, would look like. Reads, changes and the refresh of an
// access token are tried.
func TestService_refusesWrongTokensOfItsOwnKey(t *testing.T) {
	t.Parallel()
	r := start(t, "memory:")
	valid, key := r.login("admin", r.admin.Password, r.admin.RecoveryCodes[0]), r.signer()
	attacks := tokentest.Signed(valid, key)
	if len(attacks) < 150 {
		t.Fatalf("only %d attacks", len(attacks))
	}
	for _, a := range attacks {
		if !printable(a.Token) {
			continue
		}
		for _, at := range [][2]string{{"GET", "/users"}, {"POST", "/keys/rotate"}} {
			if status, out := r.do(at[0], at[1], a.Token, nil); status != 401 || out["code"] != "token.refused" {
				t.Errorf("%s at %s: %d %v", a.Name, at[1], status, out)
			}
		}
		if status, out := r.do("POST", "/auth/refresh", "", map[string]any{"token": a.Token}); status != 401 {
			t.Errorf("%s refreshed: %d %v", a.Name, status, out)
		}
	}
	if status, out := r.do("GET", "/users", valid, nil); status != 200 {
		t.Errorf("the valid one: %d %v", status, out)
	}
}

// printable says whether a header can carry the text.
func printable(s string) bool {
	return len(s) < 30_000 && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
