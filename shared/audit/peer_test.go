package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
)

// pair is both services, each the other's witness.
type pair struct {
	t          testing.TB
	one, two   *service // one opens the exchanges
	pone, ptwo *Peer
}

func newPair(t testing.TB) *pair {
	p := &pair{t: t, one: newService(t, "test/audit/orchestrator"), two: newService(t, "test/audit/control-center")}
	p.restart()
	return p
}

// restart opens both logs and peers anew.
func (p *pair) restart() {
	p.t.Helper()
	p.one.open()
	p.two.open()
	var err error
	if p.pone, err = NewPeer(p.one.log, p.two.keys.Public()); err != nil {
		p.t.Fatal(err)
	}
	if p.ptwo, err = NewPeer(p.two.log, Public{}); err != nil {
		p.t.Fatal(err)
	}
}

// exchange is one round over the wire, signing what it leaves behind.
func (p *pair) exchange() error {
	p.t.Helper()
	s, err := p.pone.Speak()
	if err != nil {
		p.t.Fatal(err)
	}
	answer, err := p.ptwo.Exchange(p.t.Context(), overTheWire(p.t, s))
	if err != nil {
		return err
	}
	err = p.pone.Hear(p.t.Context(), overTheWire(p.t, answer))
	p.one.sign()
	p.two.sign()
	return err
}

func overTheWire(t testing.TB, s Statement) (out Statement) {
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *pair) settle() {
	p.t.Helper()
	for range 5 {
		if err := p.exchange(); err != nil {
			p.t.Fatal(err)
		}
	}
}

func TestPeer_bothLogsAreCosignedAndComeToRest(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.one.add(5)
	p.two.add(3)
	p.settle()
	one, two := p.one.log.Status(), p.two.log.Status()
	if one.Witnessed < 5 || two.Witnessed < 3 || one.State != OK || two.State != OK {
		t.Fatalf("%+v\n%+v", one, two)
	}
	size := one.Size + two.Size
	p.settle()
	if now := p.one.log.Status().Size + p.two.log.Status().Size; now != size {
		t.Errorf("the logs grow by themselves: %d, then %d", size, now)
	}
	for range 10 {
		p.one.add(1)
		p.two.add(2)
		if err := p.exchange(); err != nil {
			t.Fatal(err)
		}
	}
	p.restart()
	p.one.add(1)
	p.settle()
	b, err := p.one.log.Bundle(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(p.one.keys.Public(), p.two.keys.Public()); err != nil {
		t.Errorf("the bundle carries no cosignature: %v", err)
	}
	for _, v := range []struct {
		s    *service
		peer *service
	}{{p.one, p.two}, {p.two, p.one}} {
		if r := v.s.verify(v.peer.keys.Public(), v.peer.seenOf(v.s)); !r.OK || r.Witnessed == 0 {
			t.Errorf("%+v", r)
		}
	}
}

// seenOf returns the head of other that this service has stored.
func (s *service) seenOf(other *service) string {
	s.t.Helper()
	heads, err := SeenBy(filepath.Join(s.dir, "audit"), other.keys.Public().Origin())
	if err != nil || len(heads) != 1 {
		s.t.Fatal(heads, err)
	}
	return heads[0]
}

func TestPeer_lostAnswersHeal(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for range 6 {
		p.one.add(1)
		p.two.add(1)
		s, err := p.pone.Speak()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.ptwo.Exchange(t.Context(), s); err != nil { // the answer is lost
			t.Fatal(err)
		}
	}
	p.settle()
	if st := p.one.log.Status(); st.State != OK || st.Witnessed < 6 {
		t.Errorf("%+v", st)
	}
}

// rewrite is the attacker with disk and keys: another history, signed anew, hashes and all.
func (s *service) rewrite(bodies [][]byte) {
	s.t.Helper()
	for _, name := range []string{"treehead", "witnessed", "hashes"} {
		if err := os.Remove(filepath.Join(s.dir, "audit", name)); err != nil && !os.IsNotExist(err) {
			s.t.Fatal(err)
		}
	}
	s.store(bodies)
	s.open()
	s.sign()
}

// TestPeer_rewrittenHistoryIsRefusedAndKept is L03, and with as many entries as before L04: the
// evidence holds both signed heads.
func TestPeer_rewrittenHistoryIsRefusedAndKept(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func([][]byte) [][]byte{
		"one entry altered, as many": func(b [][]byte) [][]byte {
			b[2] = []byte(strings.Replace(string(b[2]), "success", "failure", 1))
			return b
		},
		"altered and longer": func(b [][]byte) [][]byte {
			b[2] = []byte(`{}`)
			return append(b, []byte(`{"action":"more"}`), []byte(`{"action":"more"}`))
		},
		"truncated": func(b [][]byte) [][]byte { return b[:4] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			p.one.add(9)
			p.settle()
			seen := p.two.seenOf(p.one)
			p.one.rewrite(change(p.one.bodies()))
			var err error
			if p.pone, err = NewPeer(p.one.log, p.two.keys.Public()); err != nil {
				t.Fatal(err)
			}
			if st := p.one.log.Status(); st.State == RolledBack {
				t.Fatal("the attacker left traces on his own disk")
			}
			// Offline, with what the peer stores.
			if r := p.one.verify(Public{}, seen); r.OK || r.Verdict != foundRewritten && r.Verdict != foundTruncated {
				t.Errorf("offline: %+v", r)
			}
			// He claims to believe what the peer has seen, so that only the proof is wrong.
			s, _ := p.pone.Speak()
			h, _ := openHead(seen, p.one.keys.Public())
			if h.Size <= p.one.log.size() {
				s.From = h.Size
				s.Proof, _ = p.one.log.consistency(h.Size, p.one.log.size())
			}
			answer, err := p.ptwo.Exchange(t.Context(), s)
			if err != nil || answer.Refused == "" || p.ptwo.Alarm() == "" {
				t.Fatalf("not refused: %+v %v", answer, err)
			}
			if p.two.seenOf(p.one) != seen {
				t.Error("what was seen before is overwritten")
			}
			kept, _ := filepath.Glob(filepath.Join(p.two.dir, "audit", "evidence", "*"))
			if len(kept) != 1 {
				t.Fatalf("evidence: %v", kept)
			}
			var evidence map[string]string
			data, _ := os.ReadFile(kept[0])
			_ = json.Unmarshal(data, &evidence)
			for _, half := range []string{"cosigned_before", "offered"} {
				if _, err := openHead(evidence[half], p.one.keys.Public()); err != nil {
					t.Errorf("%s proves nothing: %v", half, err)
				}
			}
			// The honest rest of the program notices by what the answer carries.
			_ = p.pone.Hear(t.Context(), answer)
			if err := Record(t.Context(), p.one.hub, EntryDraft{Action: "a"}); fault.CodeOf(err) != "audit.rolled_back" {
				t.Errorf("still writes: %v", err)
			}
			// Asked again it is refused again, and told once.
			if again, _ := p.ptwo.Exchange(t.Context(), s); again.Refused == "" {
				t.Error("accepted at the second try")
			}
			if kept, _ := filepath.Glob(filepath.Join(p.two.dir, "audit", "evidence", "*")); len(kept) != 1 {
				t.Errorf("evidence is piled up: %d", len(kept))
			}
		})
	}
}

// TestPeer_anAlarmThatCouldNotBeRecordedIsRecordedLater offers the same bad head twice; the first
// time the witness's store takes nothing.
func TestPeer_anAlarmThatCouldNotBeRecordedIsRecordedLater(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.one.add(9)
	p.settle()
	p.one.rewrite(p.one.bodies()[:4])
	var err error
	if p.pone, err = NewPeer(p.one.log, p.two.keys.Public()); err != nil {
		t.Fatal(err)
	}
	s, err := p.pone.Speak()
	if err != nil {
		t.Fatal(err)
	}
	recorded := func() int {
		return strings.Count(string(bytes.Join(p.two.bodies(), nil)), "audit.inconsistent")
	}
	p.two.hub.Refuse(fault.New(fault.Unavailable, "x", "not now"))
	if _, err := p.ptwo.Exchange(t.Context(), s); err == nil || p.ptwo.Alarm() == "" || recorded() != 0 {
		t.Fatalf("%v, alarm %q, %d entries", err, p.ptwo.Alarm(), recorded())
	}
	p.two.hub.Refuse(nil)
	for range 2 {
		if answer, err := p.ptwo.Exchange(t.Context(), s); err != nil || answer.Refused == "" || recorded() != 1 {
			t.Errorf("%v, refused %q, %d entries; want 1", err, answer.Refused, recorded())
		}
	}
	if kept, _ := filepath.Glob(filepath.Join(p.two.dir, "audit", "evidence", "*")); len(kept) != 1 {
		t.Errorf("evidence: %v", kept)
	}
}

func TestPeer_restoredFolderIsNoticedAtTheFirstExchange(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.two.add(4)
	p.settle()
	old := p.two.bodies()
	backup := t.TempDir()
	if err := os.CopyFS(backup, os.DirFS(p.two.dir)); err != nil {
		t.Fatal(err)
	}
	p.two.add(4)
	p.settle()
	p.two.dir = backup
	p.two.store(old)
	p.restart()
	if st := p.two.log.Status(); st.State == RolledBack {
		t.Fatal("noticed without the peer: the test is not what it says")
	}
	for range 2 { // it answers on, and cosigns nothing
		if err := p.exchange(); fault.CodeOf(err) != "audit.inconsistent" {
			t.Errorf("the other service takes its head: %v", err)
		}
		p.one.add(1)
	}
	noticed := func(when string) {
		t.Helper()
		if st := p.two.log.Status(); st.State != RolledBack || !strings.Contains(st.Reason, "other service has seen") ||
			fault.CodeOf(p.two.log.Sound()) != "audit.rolled_back" {
			t.Errorf("%s: %+v", when, st)
		}
	}
	noticed("at the first exchange")
	p.two.open()
	noticed("after a restart, alone")
	if r := p.two.verify(p.one.keys.Public()); r.Verdict != foundTruncated {
		t.Errorf("offline, with what it was shown: %+v", r)
	}
}

// TestPeer_theNewestStorePutBackIsInOrderAgain takes the first way out that the text names.
func TestPeer_theNewestStorePutBackIsInOrderAgain(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.two.add(4)
	p.settle()
	backup := t.TempDir()
	if err := os.CopyFS(backup, os.DirFS(p.two.dir)); err != nil {
		t.Fatal(err)
	}
	old := p.two.bodies()
	p.two.add(4)
	p.settle()
	newest := p.two.bodies()
	p.two.dir = backup
	p.two.store(old)
	p.restart()
	_ = p.exchange()
	p.two.store(newest)
	p.restart()
	p.two.sign()
	p.settle()
	if st := p.two.log.Status(); st.State != OK || p.pone.Alarm() != "" {
		t.Errorf("%+v, alarm %q", st, p.pone.Alarm())
	}
	if _, err := os.Stat(filepath.Join(backup, "audit", aheadFile)); !os.IsNotExist(err) {
		t.Errorf("what was shown once is kept: %v", err)
	}
}

func TestPeer_listensToOneLogOnly(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.one.add(1)
	p.settle()
	stranger := newService(t, "test/audit/orchestrator")
	stranger.add(20)
	sp, err := NewPeer(stranger.log, Public{})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := sp.Speak()
	answer, err := p.ptwo.Exchange(t.Context(), s)
	if err != nil || answer.Refused == "" || answer.Seen != "" || answer.Head == "" || p.ptwo.Alarm() == "" {
		t.Errorf("another key: %+v %v", answer, err)
	}
	if err := sp.Hear(t.Context(), overTheWire(t, answer)); err != nil {
		t.Errorf("a stranger cannot hear our head: %v", err)
	}
	s.Keys = p.one.keys.Public()
	if _, err := p.ptwo.Exchange(t.Context(), s); !fault.Is(err, fault.Denied) {
		t.Errorf("another's head: %v", err)
	}
	if _, err := p.ptwo.Exchange(t.Context(), Statement{}); !fault.Is(err, fault.Malformed) {
		t.Errorf("nothing: %v", err)
	}
	p.restart()
	if _, err := p.ptwo.Exchange(t.Context(), s); !fault.Is(err, fault.Denied) {
		t.Errorf("after a restart: %v", err)
	}
}

func TestPeer_meetsAgainAfterTheOtherWasAway(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.one.add(3)
	away := func(context.Context, Statement) (Statement, error) {
		return Statement{}, fault.New(fault.Unavailable, "x", "away")
	}
	if err := p.pone.Meet(t.Context(), away); fault.CodeOf(err) != "x" || p.pone.Met() {
		t.Errorf("met nobody: %v", err)
	}
	for range 2 {
		if err := p.pone.Meet(t.Context(), p.ptwo.Exchange); err != nil {
			t.Fatal(err)
		}
	}
	if !p.pone.Met() || !p.ptwo.Met() || p.one.log.Status().Witnessed != 3 {
		t.Errorf("%+v", p.one.log.Status())
	}
}
