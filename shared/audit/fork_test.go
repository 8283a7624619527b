package audit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
)

// putBack puts an older copy of the second service's folder and store back, and lets it meet the
// first.
func putBack(t *testing.T) *pair {
	p := newPair(t)
	p.two.add(4)
	p.settle()
	old, backup := p.two.bodies(), t.TempDir()
	if err := os.CopyFS(backup, os.DirFS(p.two.dir)); err != nil {
		t.Fatal(err)
	}
	p.two.add(9)
	p.settle()
	p.two.dir = backup
	p.two.store(old)
	p.restart()
	_ = p.exchange()
	p.restart()
	return p
}

func (p *pair) fork() Fork {
	p.t.Helper()
	f, err := p.two.log.Fork(p.t.Context(), ForkOptions{Reason: "the disk died"})
	if err != nil || f.Fingerprint == "" || f.Seen <= f.Size || f.LostTo != f.Seen-1 {
		p.t.Fatalf("%+v %v", f, err)
	}
	p.restart()
	return f
}

// TestFork_oneCommandAloneIsNotEnough leaves the other service unasked, or gives it another
// fingerprint.
func TestFork_oneCommandAloneIsNotEnough(t *testing.T) {
	t.Parallel()
	p := putBack(t)
	f := p.fork()
	refused := func(when string) {
		t.Helper()
		for range 3 {
			if err := p.exchange(); fault.CodeOf(err) != "audit.inconsistent" {
				t.Errorf("%s: the other service takes the head: %v", when, err)
			}
		}
		err := Record(t.Context(), p.two.hub, EntryDraft{Action: "server.create", Resource: "servers/x"})
		if fault.CodeOf(err) != "audit.fork_pending" || fault.CodeOf(p.two.log.Sound()) != "audit.fork_pending" {
			t.Errorf("%s: a change is answered with %v", when, err)
		}
		if st := p.two.log.Status(); st.State != ForkPending {
			t.Errorf("%s: %+v", when, st)
		}
	}
	refused("not accepted")
	other := strings.Repeat("0", 32)
	if _, err := p.one.log.AcceptFork(t.Context(), other, "wrong"); err != nil {
		t.Fatal(err)
	}
	p.restart()
	refused("another one accepted")
	if _, err := p.one.log.AcceptFork(t.Context(), "no fingerprint", "wrong"); !fault.Is(err, fault.Invalid) {
		t.Errorf("what is no fingerprint: %v", err)
	}
	if _, err := p.two.log.Fork(t.Context(), ForkOptions{}); fault.CodeOf(err) != "audit.fork_pending" ||
		!strings.Contains(err.Error(), f.Fingerprint) {
		t.Errorf("a second time: %v", err)
	}
}

// TestFork_goesOnWhenBothSidesAgreeAndOnce accepts the fork, and then puts the same backup back
// again.
func TestFork_goesOnWhenBothSidesAgreeAndOnce(t *testing.T) {
	t.Parallel()
	p := putBack(t)
	old, backup := p.two.bodies(), t.TempDir()
	if err := os.CopyFS(backup, os.DirFS(p.two.dir)); err != nil {
		t.Fatal(err)
	}
	f := p.fork()
	if _, err := p.one.log.AcceptFork(t.Context(), f.Fingerprint, "it was me"); err != nil {
		t.Fatal(err)
	}
	p.restart()
	p.settle()
	p.two.add(30)
	p.settle()
	if st := p.two.log.Status(); st.State != OK || st.Witnessed < f.Size+30 || p.pone.Alarm() != "" {
		t.Errorf("%+v, alarm %q", st, p.pone.Alarm())
	}
	r := p.two.verify(p.one.keys.Public())
	if !r.OK || !strings.Contains(strings.Join(r.Notes, "\n"), "records a fork") {
		t.Errorf("offline: %+v", r)
	}
	if kept, err := filepath.Glob(filepath.Join(p.one.dir, "audit", "evidence", "*")); err != nil || len(kept) == 0 {
		t.Error("the head that was given up is not kept", err)
	}
	p.restart()
	p.settle()

	p.two.dir = backup
	p.two.store(old)
	p.restart()
	p.fork()
	if err := p.exchange(); fault.CodeOf(err) != "audit.inconsistent" {
		t.Errorf("a second fork is taken on the word for the first: %v", err)
	}
}

// TestFork_needsASignThatTheFolderIsOlder asks for one where nothing was put back.
func TestFork_needsASignThatTheFolderIsOlder(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.two.add(4)
	p.settle()
	before := p.two.log.Status().Size
	if _, err := p.two.log.Fork(t.Context(), ForkOptions{Reason: "x"}); fault.CodeOf(err) != "audit.no_fork" {
		t.Errorf("%v", err)
	}
	p.two.add(1)
	p.settle()
	if st := p.two.log.Status(); st.State != OK || st.Size <= before {
		t.Errorf("it was changed: %+v", st)
	}
}
