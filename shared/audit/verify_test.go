package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tampered returns a report over other stored entries beside the untouched folder.
func (s *service) tampered(bodies [][]byte, heads ...string) Report {
	s.t.Helper()
	x := &Exported{}
	for i, b := range bodies {
		x.entries = append(x.entries, storeEntry(i, b))
	}
	r, err := Verify(s.t.Context(), VerifyOptions{Read: x.Read, Dir: filepath.Join(s.dir, "audit"), Log: s.keys.Public(), Heads: heads})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func TestVerify_everyFlippedByteIsNamed(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	s.add(6)
	all := s.bodies()
	if r := s.tampered(all); !r.OK || r.Verdict != Intact || r.Entries != 6 || r.Signed != 6 {
		t.Fatalf("%+v", r)
	}
	flips := 0
	for i := range all {
		for at := range all[i] {
			bad := append([][]byte{}, all...)
			bad[i] = bytes.Clone(all[i])
			bad[i][at] ^= 1 << (at % 8)
			r := s.tampered(bad)
			if r.OK || r.Verdict != Flipped || r.Index == nil || *r.Index != int64(i) {
				t.Fatalf("byte %d of entry %d: %+v", at, i, r)
			}
			flips++
		}
	}
	t.Logf("%d flips", flips)
	// Without the stored hashes it is still found, and narrowed to what no head covers.
	if err := os.Remove(filepath.Join(s.dir, "audit", "hashes")); err != nil {
		t.Fatal(err)
	}
	bad := append([][]byte{}, all...)
	bad[3] = []byte("{}")
	if r := s.tampered(bad); r.Verdict != Flipped || !strings.Contains(r.Text, "from index 0 to 5") {
		t.Errorf("%+v", r)
	}
}

func TestVerify_damageHasItsOwnWords(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	s.add(5)
	early := s.log.Head().Note
	s.add(10)
	all := s.bodies()
	swap := func(i, j int) [][]byte {
		b := append([][]byte{}, all...)
		b[i], b[j] = b[j], b[i]
		return b
	}
	for n := range all { // truncated at every entry
		if r := s.tampered(all[:n]); r.OK || r.Verdict != Truncated || *r.Index != int64(n) {
			t.Errorf("cut to %d: %+v", n, r)
		}
	}
	for _, c := range []struct {
		name    string
		bodies  [][]byte
		verdict Verdict
		index   int64
	}{
		{"neighbours swapped", swap(7, 8), Reordered, 7},
		{"far ones swapped", swap(2, 11), Reordered, 2},
		{"one doubled", append(append(append([][]byte{}, all[:6]...), all[5]), all[6:]...), Flipped, 6},
		{"one put in", append(append(append([][]byte{}, all[:6]...), []byte(`{}`)), all[6:]...), Flipped, 6},
		{"one removed, one added", append(append(append([][]byte{}, all[:6]...), all[7:]...), []byte("{}")), Truncated, 6},
	} {
		if r := s.tampered(c.bodies); r.OK || r.Verdict != c.verdict && c.verdict != Flipped || r.Index == nil || *r.Index != c.index {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
	head := filepath.Join(s.dir, "audit", "treehead")
	good, _ := os.ReadFile(head)
	for at := range good {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		_ = os.WriteFile(head, bad, 0o600)
		if r := s.tampered(all); r.OK || r.Verdict != BadHead {
			// A flip may hit a bit of the base64 that carries nothing only if the note format allowed it.
			t.Fatalf("byte %d of the head: %+v", at, r)
		}
	}
	_ = os.WriteFile(head, []byte(early), 0o600)
	if r := s.tampered(all, string(good)); r.OK || r.Verdict != Replayed {
		t.Errorf("an old head beside a newer one: %+v", r)
	}
	if r := s.tampered(all[:5], string(good)); r.OK || r.Verdict != Truncated {
		t.Errorf("an old head with the entries cut to it: %+v", r)
	}
	_ = os.Remove(head)
	if r := s.tampered(all); r.OK || r.Verdict != NoHead {
		t.Errorf("no head: %+v", r)
	}
	_ = os.WriteFile(head, good, 0o600)
	if r := s.tampered(all); !r.OK {
		t.Errorf("put right again: %+v", r)
	}
}

func TestVerify_anOldHeadOverALongTailIsSeen(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	s.add(3)
	bodies := s.bodies()
	for i := range 3 {
		bodies = append(bodies, fmt.Appendf(nil, `{"action":"a","time":"2026-01-01T0%d:00:00Z"}`, i))
	}
	_ = os.Remove(filepath.Join(s.dir, "audit", "hashes"))
	if r := s.tampered(bodies); r.OK || r.Verdict != Replayed || r.UnsignedTail != 3 {
		t.Errorf("%+v", r)
	}
}

func TestExport_verifiesAndShowsDamage(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	s.add(30)
	var out bytes.Buffer
	if err := Export(t.Context(), VerifyOptions{Read: s.hub.Read, Dir: filepath.Join(s.dir, "audit"), Log: s.keys.Public()}, &out); err != nil {
		t.Fatal(err)
	}
	check := func(text string) Report {
		x, err := ReadExport(strings.NewReader(text))
		if err != nil {
			return Report{Text: err.Error()}
		}
		r, err := Verify(t.Context(), VerifyOptions{Read: x.Read, Log: s.keys.Public(), Heads: x.Heads})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := check(out.String()); !r.OK || r.Entries != 30 {
		t.Fatalf("%+v", r)
	}
	lines := strings.SplitAfter(out.String(), "\n")
	for name, text := range map[string]string{
		"line removed":  strings.Join(append(append([]string{}, lines[:9]...), lines[10:]...), ""),
		"tail removed":  strings.Join(lines[:20], ""),
		"entry changed": strings.Replace(out.String(), "server.create", "server.delete", 1),
		"head changed":  strings.Replace(out.String(), `\n30\n`, `\n29\n`, 1),
		"line cut":      out.String()[:out.Len()-20],
	} {
		if r := check(text); r.OK {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestOpenHead_hasOneSpelling(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	s.add(3)
	signed := s.log.Head().Note
	at := strings.LastIndexByte(signed, '=') - 1 // the last character has two bits that no byte is made of
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	value := strings.IndexByte(alphabet, signed[at])
	for other := value ^ 1; other <= value^3; other++ {
		if other == value {
			continue
		}
		if _, err := OpenHead(signed[:at]+alphabet[other:other+1]+signed[at+1:], s.keys.Public()); err == nil {
			t.Errorf("%q instead of %q is the same signature", alphabet[other], signed[at])
		}
	}
}
