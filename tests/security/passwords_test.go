package security

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// passwords is the table of A47. The account is called dana-lindqvist and its address is
// dl@harbourmasters.example.
var passwords = map[string][]string{
	"always": {
		"violet harbour nineteen", " leading and trailing ", "secure_password", "tr0ub4dor & three more", "grün-blau-gelb-rot-weiß",
		"日本語のとても長いパスワードですよね",
		"пароль на семь вечеров", "2jlx-bt3w-efqy-qkbb-hqfi-tx3t", "847261950372816493", strings.Repeat("no way to guess ", 16),
		strings.Repeat("ünicode räth", 21),
		"fifteen of them", "\"quoted\" & <tagged>", "💡🚲🌂🎻🧭🪴🧵🪁🛶🏕🧊🫖🪞🧲🎏", "back\\slash and pipe |",
	},
	"with a factor": {
		"vio1et h", "of them 14 chr", "kzwpqmtv", "9x!k2#vq", "grün-blau", "日本語のながい語", "elk & fern", "p l u m b", "wqzkfj-mv",
	},
	"never": {
		// lengths and alphabet
		"", "x", "seven 7", "zq!7x k", strings.Repeat("a phrase of one more", 13), "fifteen\x00characters long", "line\nbreak inside it",
		"aaaaaaaaaaaaaaaa", "abababababababab",
		// combinations of common words
		"passwordpassword", "Password1234567", "p4ssw0rd!p4ssw0rd!", "letmeinletmein12!", "iloveyouiloveyou",
		"correct-horse-battery-staple",
		"qwertyuiopasdfghjkl", "123456789012345", "abcdefghijklmnopq", "zyxwvutsrqponmlk", "1q2w3e4r5t6y!!!!", // runs
		// the list
		"butterfly", "BUTTERFLY", "butterfly2024!", "!!!butterfly!!!!", "butterflybutterfly", "m1dn1ght", "hardcore", "midnight",
		"stargate", "metallica", "metallica1234567", "M3tallica-------",
		// the account
		"dana-lindqvist-1", "DANA.LINDQVIST.2026", "danalindqvist", "harbourmasters", "dl@harbourmasters.example", "lindqvistlindqvist",
		"provisioning platform", "Orchestrator-2026!", "control-center-1", "ProvisioningPlatform1", // the product
	},
}

// TestPasswords_whatIsTakenAndWhatIsNot is A47: the table against an installation that takes a
// password alone, and against one that demands a second factor. No password is cut off, and both
// Unicode forms of one are the same.
func TestPasswords_whatIsTakenAndWhatIsNot(t *testing.T) {
	if n := len(passwords["always"]) + len(passwords["with a factor"]) + len(passwords["never"]); n < 60 {
		t.Fatalf("the table has %d passwords", n)
	}
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
	o.ControlCenterConfig = filepath.Join(o.Dir, "control-center.toml")
	if err := os.WriteFile(o.ControlCenterConfig, []byte("[mfa]\nrequired = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	strict := &site{Rig: rigtest.Start(t, o)}
	create := func(s *site, password string) answer {
		t.Helper()
		const name = "dana-lindqvist"
		body := map[string]any{"username": name, "email": "dl@harbourmasters.example", "password": password, "roles": []string{"viewer"}}
		a := s.send(t, "control-center", "POST", "/users", s.Token.Reveal(), body)
		if a.Status == 201 {
			var u struct{ ID string }
			a.data(t, &u)
			gone := s.send(t, "control-center", "DELETE", "/users/"+u.ID, s.Token.Reveal(), nil)
			if gone.Status >= 300 {
				t.Fatalf("the account is not deleted: %d %s", gone.Status, gone.Raw)
			}
		}
		return a
	}
	for class, table := range passwords {
		for _, p := range table {
			for demands, s := range map[string]*site{"no factor": shared, "a factor": strict} {
				want := 422
				if class == "always" || class == "with a factor" && s == strict {
					want = 201
				}
				a := create(s, p)
				if a.Status != want || want == 422 && !strings.Contains(string(a.Raw), `"/password"`) {
					t.Errorf("%q where %s is demanded: %d, want %d: %s", p, demands, a.Status, want, a.Raw)
				}
				if p != "" && strings.Contains(string(a.Raw), p) && len(p) > 8 {
					t.Errorf("%q is in the answer: %s", p, a.Raw)
				}
			}
		}
	}
	long := strings.Repeat("ünicode räth", 21) // 252 characters, 294 bytes
	for i, end := range []string{"abcd", "abce"} {
		name := fmt.Sprintf("long-%d", i)
		body := map[string]any{"username": name, "email": name + "@example.com", "password": long + "abcd", "roles": []string{"viewer"}}
		if a := shared.send(t, "control-center", "POST", "/users", shared.Token.Reveal(), body); a.Status != 201 {
			t.Fatalf("%d %s", a.Status, a.Raw)
		}
		for _, typed := range []string{long, strings.NewReplacer("ü", "u\u0308", "ä", "a\u0308").Replace(long)} {
			_, err := shared.CC(secret.Text{}).Login(t.Context(), name, secret.New(typed+end), "")
			if (err == nil) != (end == "abcd") {
				t.Errorf("298 bytes that end in %s: %v", end, err)
			}
		}
	}
}
