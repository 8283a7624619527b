package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// readerOf returns what a store gives whose stream holds bodies behind the first that were
// archived.
func readerOf(first int, bodies [][]byte) Reader {
	return func(_ context.Context, _ string, after uint64, limit int) (page store.Entries, err error) {
		for i := max(0, int(after)-first); i < len(bodies) && len(page.Entries) < limit; i++ {
			page.Entries = append(page.Entries, storeEntry(first+i, bodies[i]))
		}
		return page, nil
	}
}

// tampered returns a report over other stored entries beside the untouched folder.
func (s *service) tampered(bodies [][]byte, heads ...string) Report {
	s.t.Helper()
	r, err := Verify(s.t.Context(), VerifyOptions{Read: readerOf(0, bodies), Dir: filepath.Join(s.dir, "audit"), Log: s.keys.Public(),
		Heads: heads})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// TestVerify_everyFlippedByteIsNamed is L01 and the audit half of D04, reduced: every byte of 6 of
// 200 entries.
func TestVerify_everyFlippedByteIsNamed(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	s.add(6)
	all := s.bodies()
	if r := s.tampered(all); !r.OK || r.Verdict != foundIntact || r.Entries != 6 || r.Signed != 6 {
		t.Fatalf("%+v", r)
	}
	flips := 0
	for i := range all {
		for at := range all[i] {
			bad := append([][]byte{}, all...)
			bad[i] = bytes.Clone(all[i])
			bad[i][at] ^= 1 << (at % 8)
			r := s.tampered(bad)
			if r.OK || r.Verdict != foundFlipped || r.Index == nil || *r.Index != int64(i) {
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
	if r := s.tampered(bad); r.Verdict != foundFlipped || !strings.Contains(r.Text, "from index 0 to 5") {
		t.Errorf("%+v", r)
	}
}

// TestVerify_damageHasItsOwnWords is L01 for the other edits, reduced to a table: cut, swapped,
// doubled, put in, removed.
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
		if r := s.tampered(all[:n]); r.OK || r.Verdict != foundTruncated || *r.Index != int64(n) {
			t.Errorf("cut to %d: %+v", n, r)
		}
	}
	for _, c := range []struct {
		name    string
		bodies  [][]byte
		verdict Finding
		index   int64
	}{
		{"neighbours swapped", swap(7, 8), foundReordered, 7},
		{"far ones swapped", swap(2, 11), foundReordered, 2},
		{"one doubled", append(append(append([][]byte{}, all[:6]...), all[5]), all[6:]...), foundFlipped, 6},
		{"one put in", append(append(append([][]byte{}, all[:6]...), []byte(`{}`)), all[6:]...), foundFlipped, 6},
		{"one removed, one added", append(append(append([][]byte{}, all[:6]...), all[7:]...), []byte("{}")), foundTruncated, 6},
	} {
		if r := s.tampered(c.bodies); r.OK || r.Verdict != c.verdict && c.verdict != foundFlipped || r.Index == nil || *r.Index != c.index {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
	head := filepath.Join(s.dir, "audit", "treehead")
	good, _ := os.ReadFile(head)
	for at := range good {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		_ = os.WriteFile(head, bad, 0o600)
		if r := s.tampered(all); r.OK || r.Verdict != foundBadHead {
			// A flip may hit a bit of the base64 that carries nothing only if the note format
			// allowed it.
			t.Fatalf("byte %d of the head: %+v", at, r)
		}
	}
	_ = os.WriteFile(head, []byte(early), 0o600)
	if r := s.tampered(all, string(good)); r.OK || r.Verdict != foundReplayed {
		t.Errorf("an old head beside a newer one: %+v", r)
	}
	if r := s.tampered(all[:5], string(good)); r.OK || r.Verdict != foundTruncated {
		t.Errorf("an old head with the entries cut to it: %+v", r)
	}
	_ = os.Remove(head)
	if r := s.tampered(all); r.OK || r.Verdict != foundNoHead {
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
	if r := s.tampered(bodies); r.OK || r.Verdict != foundReplayed || r.UnsignedTail != 3 {
		t.Errorf("%+v", r)
	}
}

// export returns what `audit export` writes.
func (s *service) export() string {
	s.t.Helper()
	var out bytes.Buffer
	if err := Export(s.t.Context(), VerifyOptions{Read: s.hub.Read, Dir: filepath.Join(s.dir, "audit"), Log: s.keys.Public()},
		&out); err != nil {
		s.t.Fatal(err)
	}
	return out.String()
}

// judge is what `audit verify --export` does.
func (s *service) judge(text string, peer Public) Report {
	s.t.Helper()
	r, err := Verify(s.t.Context(), VerifyOptions{Export: strings.NewReader(text), Log: s.keys.Public(), Peer: peer})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// TestExport_aForgedOneIsNeverCalledIntact has every way in which an export can say one thing to
// this program and another to the next one, and those in which it says nothing at all.
func TestExport_aForgedOneIsNeverCalledIntact(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	s.add(600)
	good := s.export()
	if r := s.judge(good, Public{}); !r.OK || r.Entries != 600 || r.Signed != 600 {
		t.Fatalf("%+v", r)
	}
	lines := strings.SplitAfter(good, "\n")
	lines = lines[:len(lines)-1]
	edit := func(n int, from, to string) string {
		l := slices.Clone(lines)
		if !strings.Contains(l[n], from) {
			t.Fatalf("line %d has no %q: %s", n, from, l[n])
		}
		l[n] = strings.Replace(l[n], from, to, 1)
		return strings.Join(l, "")
	}
	other := newService(t, "test/audit/orchestrator")
	other.add(3)
	header := func(heads string) string {
		return edit(0, lines[0][strings.Index(lines[0], `"heads":`):strings.Index(lines[0], `,"keys"`)], `"heads":`+heads)
	}
	forged := `"entry":"{\"action\":\"server.delete\"}"`
	for name, c := range map[string]struct {
		text string
		want Finding
	}{
		"entry twice, the other spelling last":  {edit(5, `"index"`, strings.Replace(forged, "entry", "Entry", 1)+`,"index"`), foundMalformed},
		"entry twice, the other spelling first": {edit(5, `{"entry"`, `{`+strings.Replace(forged, "entry", "ENTRY", 1)+`,"entry"`), foundMalformed},
		"entry twice, the false one first":      {edit(5, `{"entry"`, `{`+forged+`,"entry"`), foundMalformed},
		"entry in another case":                 {edit(5, `"entry"`, `"Entry"`), foundMalformed},
		"entry escaped":                         {edit(5, `"entry"`, `"\u0065ntry"`), foundMalformed},
		"a letter of the entry escaped":         {edit(5, `server.create`, `\u0073erver.create`), foundMalformed},
		"index twice":                           {edit(5, `"index":4`, `"index":9,"index":4`), foundMalformed},
		"an unknown member":                     {edit(5, `,"leaf_hash"`, `,"note":"approved","leaf_hash"`), foundMalformed},
		"an unknown member of the header":       {edit(0, `,"keys"`, `,"verified":true,"keys"`), foundMalformed},
		"the heads twice":                       {edit(0, `"heads"`, `"heads":[],"heads"`), foundMalformed},
		"two values on a line":                  {edit(5, "}\n", "}{}\n"), foundMalformed},
		"blanks":                                {edit(5, `{"entry"`, `{ "entry"`), foundMalformed},
		"an empty line":                         {edit(5, "}\n", "}\n\n"), foundMalformed},
		"a wrong leaf hash":                     {edit(5, `"leaf_hash":"`, `"leaf_hash":"AAAA`), foundMalformed},
		"another entry's leaf hash":             {edit(5, lines[5][strings.Index(lines[5], `"leaf_hash"`):], lines[6][strings.Index(lines[6], `"leaf_hash"`):]), foundMalformed},
		"no leaf hash":                          {edit(5, lines[5][strings.Index(lines[5], `,"leaf_hash"`):], "}\n"), foundMalformed},
		"a wrong index":                         {edit(5, `"index":4`, `"index":44`), foundMalformed},
		"an entry changed, its leaf hash too":   {edit(5, lines[5], exportedLine(4, `{"action":"server.delete"}`)), foundFlipped},
		"an entry added":                        {good + exportedLine(600, `{"action":"server.delete"}`), foundUnsigned},
		"a line removed":                        {strings.Join(slices.Delete(slices.Clone(lines), 9, 10), ""), foundMalformed},
		"the tail removed":                      {strings.Join(lines[:20], ""), foundIncomplete},
		"all entries removed":                   {lines[0], foundIncomplete},
		"cut within a line":                     {good[:len(good)-20], foundIncomplete},
		"cut before the last line break":        {good[:len(good)-1], foundIncomplete},
		"cut within the header":                 {lines[0][:40], foundIncomplete},
		"an empty file":                         {"", foundIncomplete},
		"another file":                          {"hello\n", foundMalformed},
		"another format":                        {edit(0, exportFormat, "provisioning-audit-export/9"), foundMalformed},
		"no heads":                              {header("[]"), foundNoHead},
		"heads that are null":                   {header("null"), foundNoHead},
		"no heads and no entries":               {strings.SplitAfter(header("[]"), "\n")[0], foundNothing},
		"the head of another log":               {header(jsonOf(t, []string{other.log.Head().Note})), foundBadHead},
		"the size of the head":                  {edit(0, `\n600\n`, `\n599\n`), foundBadHead},
		"a line of 4 MiB":                       {edit(5, `server.create`, strings.Repeat("x", 4<<20)), foundMalformed},
	} {
		if r := s.judge(c.text, Public{}); r.OK || r.Verdict != c.want || !strings.HasPrefix(r.Text, string(c.want)+": ") {
			t.Errorf("%s: %+v, want %q", name, r, c.want)
		}
	}
}

func TestExport_isCosignedWhenTheWitnessIsNamed(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.one.add(4)
	if r := p.one.judge(p.one.export(), p.two.keys.Public()); r.OK || r.Verdict != foundBadHead {
		t.Errorf("nobody has cosigned it: %+v", r)
	}
	p.settle()
	if r := p.one.judge(p.one.export(), p.two.keys.Public()); !r.OK || r.Witnessed < 4 {
		t.Errorf("cosigned: %+v", r)
	}
	if r := p.one.judge(p.one.export(), newService(t, "test/audit/control-center").keys.Public()); r.OK || r.Verdict != foundBadHead {
		t.Errorf("cosigned by somebody else: %+v", r)
	}
}

func TestExport_ofNothingIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t, "test/audit/orchestrator")
	err := Export(t.Context(), VerifyOptions{Read: s.hub.Read, Dir: filepath.Join(s.dir, "audit"), Log: s.keys.Public()}, io.Discard)
	if fault.CodeOf(err) != "audit.nothing_signed" {
		t.Error(err)
	}
	if r := s.verify(Public{}); r.OK || r.Verdict != foundNothing {
		t.Errorf("a log without entries and heads: %+v", r)
	}
}

// exportedLine returns a line as Export writes it.
func exportedLine(index int64, entry string) string {
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(exportLine{Entry: entry, Index: index, LeafHash: LeafHash([]byte(entry))})
	return b.String()
}

func jsonOf(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestVerify_needsTheSameMemoryForEveryLog makes a log of 200,000 entries while it is read and
// looks at the heap on the way; other tests beside it would be in its figure.
func TestVerify_needsTheSameMemoryForEveryLog(t *testing.T) {
	const entries, most = 200_000, 2 << 20
	s := newService(t, "test/audit/orchestrator")
	body := func(i uint64) []byte { return fmt.Appendf(nil, `{"action":"a","n":%d}`, i) }
	var tr tree
	var scratch []tlog.Hash
	for i := range uint64(entries) {
		scratch = tr.add(tlog.RecordHash(body(i)), scratch[:0])
	}
	head, err := s.keys.signHead(tr.size, tr.root())
	if err != nil {
		t.Fatal(err)
	}
	var before, grown uint64
	read := func(_ context.Context, _ string, after uint64, limit int) (page store.Entries, err error) {
		if after%(100*tileWidth) == 0 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			if after == 0 {
				before = m.HeapAlloc
			}
			grown = max(grown, m.HeapAlloc-min(m.HeapAlloc, before))
		}
		for i := after; i < min(entries, after+uint64(limit)); i++ {
			page.Entries = append(page.Entries, store.Entry{Seq: i + 1, Body: body(i)})
		}
		return page, nil
	}
	r, err := Verify(t.Context(), VerifyOptions{Read: read, Log: s.keys.Public(), Heads: []string{head.Note}})
	if err != nil || !r.OK || r.Entries != entries {
		t.Fatalf("%+v %v", r, err)
	}
	if grown > most {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	t.Logf("%d entries, %d KiB more than at the beginning", entries, grown>>10)
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
		if _, err := openHead(signed[:at]+alphabet[other:other+1]+signed[at+1:], s.keys.Public()); err == nil {
			t.Errorf("%q instead of %q is the same signature", alphabet[other], signed[at])
		}
	}
}
