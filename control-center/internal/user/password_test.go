package user

import (
	"context"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
)

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"secure_password", "violet harbour nineteen", "grün-blau-gelb-rot-weiß", "2jlx-bt3w-efqy-qkbb-hqfi-tx3t", strings.Repeat("no way to guess ", 16),
		"日本語のとても長いパスワードですよね", "tr0ub4dor & three more",
	} {
		if why := checkPassword(good, "dana", "dana@example.com", false); why != "" {
			t.Errorf("%q refused: %s", good, why)
		}
	}
	for _, bad := range []string{
		"", "short", "fourteen chars", "passwordpassword", "Password1234567", "p4ssw0rd!p4ssw0rd!", "123456789012345", "aaaaaaaaaaaaaaaaaaaa", "abababababababab",
		"qwertyuiopasdfghjkl", "abcdefghijklmnopq", "administrator123", "danadanadanadana", "dana-password-2026", "ProvisioningPlatform1", "letmeinletmein12!",
		"correct-horse-battery-staple", "zyxwvutsrqponmlk", strings.Repeat("x1y2z3w4 ", 200), "fifteen\x00characters long",
	} {
		if why := checkPassword(bad, "dana", "dana@example.com", false); why == "" {
			t.Errorf("%q accepted", bad)
		}
	}
	if why := checkPassword("vio1et h", "dana", "dana@example.com", true); why != "" {
		t.Errorf("eight characters with a second factor: %s", why)
	}
}

func TestHasher_phcStringsAndHostileParameters(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	h := NewHasher(Standard())
	phc, err := h.Hash(ctx, "violet harbour")
	if err != nil || !strings.HasPrefix(phc, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("%s %v", phc, err)
	}
	for _, c := range []struct {
		password, phc string
		ok, weak      bool
	}{
		{"violet harbour", phc, true, false}, {"violet harbour ", phc, false, false}, {"violet harbour", "", false, false},
		{"old", derive("old", Cost{Memory: 8 * 1024, Time: 1}), true, true},
		{"caf\u00e9 au lait", derive("cafe\u0301 au lait", Standard()), true, false}, // composed and decomposed
	} {
		ok, weak, err := h.Verify(ctx, c.password, c.phc)
		if err != nil || ok != c.ok || weak != c.weak {
			t.Errorf("%q: %v %v %v", c.password, ok, weak, err)
		}
	}
	long := strings.Repeat("x", 300)
	phc = derive(long+"a", Standard())
	if ok, _, _ := h.Verify(ctx, long+"b", phc); ok {
		t.Error("a long password is cut off")
	}
	for _, hostile := range []string{
		"$argon2id$v=19$m=1048576,t=2,p=1$c2FsdHNhbHQ$" + strings.Repeat("A", 43), "$argon2id$v=19$m=19456,t=99,p=1$c2FsdHNhbHQ$" + strings.Repeat("A", 43),
		"$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$" + strings.Repeat("A", 43), "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$", "plain", "$2a$10$abcdefghijklmnopqrstuv",
		"$argon2id$v=19$m=19456,t=2,p=0$c2FsdHNhbHQ$" + strings.Repeat("A", 43), "$argon2id$v=19$m=+19456,t=2,p=1$c2FsdHNhbHQ$" + strings.Repeat("A", 43),
	} {
		if _, _, err := h.Verify(ctx, "x", hostile); err == nil {
			t.Errorf("%s accepted", hostile)
		}
	}
	if _, _, err := h.Verify(ctx, strings.Repeat("x", 1025), phc); !fault.Is(err, fault.Invalid) {
		t.Errorf("more than 1 KiB: %v", err)
	}
}

func TestFold_thirtySpellingsOfOneName(t *testing.T) {
	t.Parallel()
	want := Fold("Robert.Smith")
	for _, s := range []string{"robert.smith", "ROBERT.SMITH", " robert.smith", "robert.smith ", "\trobert.smith\n", "ro\u200bbert.smith", "\ufeffrobert.smith",
		"ｒｏｂｅｒｔ.smith", "𝐫𝐨𝐛𝐞𝐫𝐭.smith", "robert\u00ad.smith", "robert．smith", "ⓡobert.smith", "robert.ſmith", "\u2060robert.smith", "robert.smith\u200d", "Robert.smitℎ"} {
		if got := Fold(s); got != want {
			t.Errorf("%q folds to %q", s, got)
		}
	}
	if Fold("robert-smith") == want {
		t.Error("different names fold alike")
	}
}
