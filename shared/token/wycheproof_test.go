package token

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestSigned_agreesWithWycheproof is A14 for Ed25519, the one algorithm that is accepted: the
// verdict on each of 151 vectors is that of Project Wycheproof, and each of their 78 keys is one
// that a key set takes. The 401 vectors for other algorithms are not here;
// TestAttacks_areAllRefused makes tokens of each of those itself.
func TestSigned_agreesWithWycheproof(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("testdata", "wycheproof", "ed25519_test.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		NumberOfTests int
		TestGroups    []struct {
			PublicKey struct{ PK string }
			Tests     []struct {
				TCID                      int `json:"tcId"`
				Comment, Msg, Sig, Result string
			}
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	bytes := func(text string) []byte {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	verdicts := map[bool]int{}
	for _, g := range file.TestGroups {
		pub := bytes(g.PublicKey.PK)
		if err := new(KeySet).Replace([]Key{NewKey(pub, Current)}); err != nil {
			t.Errorf("the key %x: %v", pub, err)
		}
		for _, c := range g.Tests {
			valid := signed(pub, bytes(c.Msg), bytes(c.Sig))
			if verdicts[valid]++; valid != (c.Result == "valid") {
				t.Errorf("vector %d (%s) is %s and verifies: %v", c.TCID, c.Comment, c.Result, valid)
			}
		}
	}
	if verdicts[true] != 88 || verdicts[false] != 63 || file.NumberOfTests != 151 {
		t.Errorf("%v of %d vectors", verdicts, file.NumberOfTests)
	}
}
