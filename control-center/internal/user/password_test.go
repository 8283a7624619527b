package user

import (
	"context"
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/provisioning-platform/platform/shared/fault"
)

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"secure_password", "violet harbour nineteen", "grün-blau-gelb-rot-weiß", "2jlx-bt3w-efqy-qkbb-hqfi-tx3t",
		strings.Repeat("no way to guess ", 16),
		"日本語のとても長いパスワードですよね", "tr0ub4dor & three more",
	} {
		if why := checkPassword(good, "dana", "dana@example.com", false); why != "" {
			t.Errorf("%q refused: %s", good, why)
		}
	}
	for _, bad := range []string{
		"", "short", "fourteen chars", "passwordpassword", "Password1234567", "p4ssw0rd!p4ssw0rd!", "123456789012345",
		"aaaaaaaaaaaaaaaaaaaa", "abababababababab",
		"qwertyuiopasdfghjkl", "abcdefghijklmnopq", "administrator123", "danadanadanadana", "dana-password-2026", "ProvisioningPlatform1",
		"letmeinletmein12!",
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

// TestCommonWords_areManyAndInOrder is the list of A47: at least 3,000 that no other rule refuses,
// each line once.
func TestCommonWords_areManyAndInOrder(t *testing.T) {
	t.Parallel()
	lines, long := strings.Split(strings.TrimSuffix(common, "\n"), "\n"), 0
	for i, w := range lines {
		if w != Fold(w) || i > 0 && w <= lines[i-1] {
			t.Errorf("line %d, %q, is not folded or not in order", i+1, w)
		}
		if len(w) < minPasswordMFA {
			continue
		}
		long++
		for _, p := range []string{w, strings.ToUpper(w), w + "!2026", w + w} {
			if checkPassword(p, "dana", "dana@example.com", true) == "" {
				t.Errorf("%q accepted", p)
			}
		}
	}
	if len(lines) != 10_000 || long < 3_000 {
		t.Errorf("%d passwords, %d of them of an allowed length", len(lines), long)
	}
}

func hashed(t *testing.T, h *Hasher, password string) string {
	t.Helper()
	phc, err := h.Hash(context.Background(), password)
	if err != nil {
		t.Fatal(err)
	}
	return phc
}

// TestHasher_phcStringsAndHostileParameters is A45.
func TestHasher_phcStringsAndHostileParameters(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	h := NewHasher(Standard())
	phc, err := h.Hash(ctx, "violet harbour")
	if err != nil || !strings.HasPrefix(phc, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("%s %v", phc, err)
	}
	if salt, err := base64.RawStdEncoding.DecodeString(strings.Split(phc, "$")[4]); err != nil || len(salt) < 16 {
		t.Errorf("a salt of %d bytes, %v", len(salt), err)
	}
	for _, c := range []struct {
		password, phc string
		ok, weak      bool
	}{
		{"violet harbour", phc, true, false}, {"violet harbour ", phc, false, false}, {"violet harbour", "", false, false},
		{"old", derive([]byte("old"), Cost{Memory: 8 * 1024, Time: 1}), true, true},
		{"caf\u00e9 au lait", hashed(t, h, "cafe\u0301 au lait"), true, false}, // composed and decomposed
	} {
		ok, weak, err := h.Verify(ctx, c.password, c.phc)
		if err != nil || ok != c.ok || weak != c.weak {
			t.Errorf("%q: %v %v %v", c.password, ok, weak, err)
		}
	}
	long := strings.Repeat("x", 300)
	phc = hashed(t, h, long+"a")
	if ok, _, _ := h.Verify(ctx, long+"b", phc); ok {
		t.Error("a long password is cut off")
	}
	for _, hostile := range []string{
		"$argon2id$v=19$m=1048576,t=2,p=1$c2FsdHNhbHQ$" + strings.Repeat("A", 43), "$argon2id$v=19$m=19456,t=99,p=1$c2FsdHNhbHQ$" +
			strings.Repeat("A", 43),
		"$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$" + strings.Repeat("A", 43), "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$", "plain",
		"$2a$10$abcdefghijklmnopqrstuv",
		"$argon2id$v=19$m=19456,t=2,p=0$c2FsdHNhbHQ$" + strings.Repeat("A", 43), "$argon2id$v=19$m=+19456,t=2,p=1$c2FsdHNhbHQ$" +
			strings.Repeat("A", 43),
	} {
		if _, _, err := h.Verify(ctx, "x", hostile); err == nil {
			t.Errorf("%s accepted", hostile)
		}
	}
	if _, _, err := h.Verify(ctx, strings.Repeat("x", 1025), phc); !fault.Is(err, fault.Invalid) {
		t.Errorf("more than 1 KiB: %v", err)
	}
}

// TestCheckPassword_refusesTheOwnNameAndAddressInEverySpelling: whatever case, width, separators
// and replacements a guesser may think of, whole and in parts, once and twice.
func TestCheckPassword_refusesTheOwnNameAndAddressInEverySpelling(t *testing.T) {
	t.Parallel()
	wide := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r > ' ' && r < 0x7f {
				return r - 0x20 + 0xff00
			}
			return r
		}, s)
	}
	dress := map[string]func(string) string{
		"as it is": func(s string) string { return s }, "upper case": strings.ToUpper, "full width": wide,
		"leetspeak":     func(s string) string { return strings.NewReplacer("e", "3", "a", "4", "o", "0", "i", "1").Replace(s) },
		"no separators": bareWord, "blanks": func(s string) string {
			return strings.Map(func(r rune) rune {
				if separates(r) {
					return ' '
				}
				return r
			}, s)
		},
		"underscores": func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, ".", "_"), "-", "_") },
		"twice":       func(s string) string { return s + s }, "a blank around it": func(s string) string { return " " + s + " " },
		"decorated":        func(s string) string { return s + "2026!" },
		"letter by letter": func(s string) string { return strings.Join(strings.Split(s, ""), ".") },
	}
	for _, a := range [][2]string{
		{"maximiliane.mustermann", "m.mustermann@mail.stadtverwaltung-entenhausen.co.uk"},
		{"zoë-o'brien", "zoë.obrien@müllerundsöhne.example"}, {"владимир_петров", "vladimir@petrov-company.example"},
		{"kim", "kim.seoyeon@xn--mllerundshne-djb0e.example"}, {"admin", "admin@localhost"},
	} {
		for _, own := range a {
			for what, f := range dress {
				if password := f(own); utf8.RuneCountInString(password) >= minPassword && checkPassword(password, a[0], a[1], false) == "" {
					t.Errorf("%s of %s: %q is accepted", what, own, password)
				}
			}
		}
	}
	if why := checkPassword("mustermann und violet harbour", "maximiliane.mustermann", "m.mustermann@example.com", false); why != "" {
		t.Errorf("with words of its own beside the name: %s", why)
	}
}

// TestCheckPassword_takesRandomDigits: 24 of them are 80 bits, though all of them are digits.
func TestCheckPassword_takesRandomDigits(t *testing.T) {
	t.Parallel()
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	for range 3_000 {
		b := make([]byte, 24)
		for i := range b {
			b[i] = byte('0' + r.IntN(10))
		}
		if why := checkPassword(string(b), "dana", "dana@example.com", false); why != "" {
			t.Fatalf("%s: %s", b, why)
		}
	}
	for _, bad := range []string{"123456789012345678901234", "111111222222333333444444", "passwort19840317!!", "20262026202620262026"} {
		if checkPassword(bad, "dana", "dana@example.com", false) == "" {
			t.Errorf("%q accepted", bad)
		}
	}
}

// TestPassword_lengthsAreThoseOfTheNormalForm: a password that one keyboard sends decomposed is the
// same one.
func TestPassword_lengthsAreThoseOfTheNormalForm(t *testing.T) {
	t.Parallel()
	h := NewHasher(Cost{Memory: 64, Time: 1})
	for composed, want := range map[string]bool{
		strings.Repeat("각힣뷁쀍쩎", 51) + "각": true, strings.Repeat("각힣뷁쀍쩎", 51) + "각힣": false, "ấểộựẫấểộựẫấểộ": false, "ấểộựẫấểộựẫấểộựẫ": true,
	} {
		for _, password := range []string{composed, norm.NFD.String(composed)} {
			if why := checkPassword(password, "dana", "dana@example.com", false); (why == "") != want {
				t.Errorf("%d bytes of %d characters: %q", len(password), utf8.RuneCountInString(composed), why)
			}
			if !want {
				continue
			}
			phc, err := h.Hash(context.Background(), password)
			if err != nil {
				t.Fatalf("a password that is allowed cannot be hashed: %v", err)
			}
			if ok, _, err := h.Verify(context.Background(), composed, phc); !ok || err != nil {
				t.Errorf("%v %v", ok, err)
			}
		}
	}
}

// TestCheckName_isWrittenInOneScript: letters of two scripts make names that look alike (decision
// 68).
func TestCheckName_isWrittenInOneScript(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"admin", "o.brien_2", "zoë", "straße", "a-b+c@example.com", "владимир", "ελένη", "देवनागरी", "தமிழ்",
		"ไทย", "한국어", "kim한국", "山田taro", "やまだ", "ヤマダ太郎", "ひらがなカナ", "עברית", "العربية", "ไทย2", "_dana", "अनु1", "২০২৬"} {
		if why := checkName(norm.NFKC.String(good)); why != "" {
			t.Errorf("%q: %s", good, why)
		}
	}
	for _, bad := range []string{"admіn", "аdmin", "раypal", "Ελena", "dаna@example.com", "кim한국", "кириллицаカナ", "한국やまだ", "देवתורה",
		"dana٢", "-dana", ".dana", "\u0301dana", "\u093eअ", "da na", "da\u200cna", "dana:x", "ｄana", "zoe\u0308"} {
		if checkName(bad) == "" {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// TestCheckEmail_domainsThatCanBe: what no mail server can be called is refused.
func TestCheckEmail_domainsThatCanBe(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"dana@example.com", "admin@localhost", "d@müller.example", "d@xn--mller-kva.example", "d@BÜCHER.example",
		"d@例え.テスト", "o'brien+tag@mail.example.co.uk", "d@a-b.example", "d@1and1.example", "d@3com.com"} {
		if why := checkEmail(good); why != "" {
			t.Errorf("%q: %s", good, why)
		}
	}
	for _, bad := range []string{"d@-x.example", "d@x-.example", "d@a..example", "d@.example", "d@example.", "d@exa_mple.com",
		"d@exa mple.com", "d@127.0.0.1", "d@[127.0.0.1]", "d@5", "d@xn--a", "d@xn--zzzzzzz---.example",
		"d@" + strings.Repeat("a", 64) + ".example", "d@" + strings.Repeat("a.", 130) + "example", "d@ex/ample.com", "d@example.c%m",
		"d@\u0301x.example", "d@a\u05d0.example", "@example.com", "d@", "d@@example.com"} {
		if checkEmail(bad) == "" {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestMailbox_punycodeIsTheSameMailbox(t *testing.T) {
	t.Parallel()
	want := mailbox("Dana@müller.example")
	for _, s := range []string{"dana@xn--mller-kva.example", "DANA@XN--MLLER-KVA.EXAMPLE", "dana@mu\u0308ller.example",
		" dana@MÜLLER.example", "dana@ｍüller.example"} {
		if got := mailbox(s); got != want {
			t.Errorf("%q is %q, not %q", s, got, want)
		}
	}
	if mailbox("dana@muller.example") == want {
		t.Error("another domain is the same mailbox")
	}
}

// TestFold_thirtySpellingsOfOneName is A43 for the account, reduced: 16 of 30 spellings.
func TestFold_thirtySpellingsOfOneName(t *testing.T) {
	t.Parallel()
	want := Fold("Robert.Smith")
	for _, s := range []string{"robert.smith", "ROBERT.SMITH", " robert.smith", "robert.smith ", "\trobert.smith\n", "ro\u200bbert.smith",
		"\ufeffrobert.smith",
		"ｒｏｂｅｒｔ.smith", "𝐫𝐨𝐛𝐞𝐫𝐭.smith", "robert\u00ad.smith", "robert．smith", "ⓡobert.smith", "robert.ſmith", "\u2060robert.smith",
		"robert.smith\u200d", "Robert.smitℎ"} {
		if got := Fold(s); got != want {
			t.Errorf("%q folds to %q", s, got)
		}
	}
	if Fold("robert-smith") == want {
		t.Error("different names fold alike")
	}
}
