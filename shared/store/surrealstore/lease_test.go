package surrealstore

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/surrealstore/surrealtest"
)

// openAs opens the test database as an owner.
func openAs(t *testing.T, at, password string, owner Owner) (*Store, error) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Options{URL: u, Password: secret.New(password), Sync: SyncEvery, Schema: schema, Owner: &owner})
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

// me is the identity of this process on a folder of its own.
func me(t *testing.T) instance.Identity {
	t.Helper()
	i, release, err := instance.Identify(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return i
}

func event(text string) store.Batch {
	return store.Batch{Appends: []store.Append{{Stream: "events", Body: []byte(text)}}}
}

// TestLease_secondWriterIsRefused: two instances on one database undid each other's work; the
// second one is refused and told who writes.
func TestLease_secondWriterIsRefused(t *testing.T) {
	t.Parallel()
	at, password := surrealtest.Start(t)
	first := me(t)
	s, err := openAs(t, at, password, Owner{Identity: first})
	if err != nil {
		t.Fatal(err)
	}
	_, err = openAs(t, at, password, Owner{Identity: me(t)})
	if fault.CodeOf(err) != "store.held" || !strings.Contains(err.Error(), first.Host) || !strings.Contains(err.Error(), "--standby") {
		t.Errorf("a second writer: %v", err)
	}
	other := first // a copy of the folder on a machine of the same name is another machine
	other.Boot, other.PID = "another boot", 1
	if _, err = openAs(t, at, password, Owner{Identity: other}); fault.CodeOf(err) != "store.held" {
		t.Errorf("a copy of the folder elsewhere: %v", err)
	}
	if _, err := s.Commit(t.Context(), event("still mine")); err != nil {
		t.Error(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Run(ctx); err != nil { // gives it back
		t.Error(err)
	}
	if _, err := openAs(t, at, password, Owner{Identity: me(t)}); err != nil {
		t.Errorf("after it was given back: %v", err)
	}
}

// TestLease_restartAfterAKillIsReadyAtOnce: the same folder on the same boot takes over from a
// process that runs no more, and what was still open under the old epoch writes nothing.
func TestLease_restartAfterAKillIsReadyAtOnce(t *testing.T) {
	t.Parallel()
	at, password := surrealtest.Start(t)
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	now := me(t)
	before := now
	before.PID, before.Started = dead.Process.Pid, 1
	old, err := openAs(t, at, password, Owner{Identity: before})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Commit(t.Context(), event("before")); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s, err := openAs(t, at, password, Owner{Identity: now})
	if err != nil || time.Since(begin) > leaseTime/2 {
		t.Fatalf("after %s: %v", time.Since(begin), err)
	}
	if _, err := old.Commit(t.Context(), event("too late")); fault.CodeOf(err) != "store.lease_lost" {
		t.Errorf("the former holder's commit: %v", err)
	}
	if err := old.Run(t.Context()); fault.CodeOf(err) != "store.lease_lost" {
		t.Errorf("the former holder goes on: %v", err)
	}
	if _, err := s.Commit(t.Context(), event("after")); err != nil {
		t.Error(err)
	}
	e, err := s.Read(t.Context(), "events", 0, 10)
	if err != nil || e.Head != 2 || string(e.Entries[1].Body) != "after" {
		t.Errorf("the stream holds %v, %v", e, err)
	}
}

// TestLease_standbyTakesOver: a standby waits while the holder shows life, and takes over within
// the lease time and two seconds (the bar's X03) when it shows none.
func TestLease_standbyTakesOver(t *testing.T) {
	t.Parallel()
	at, password := surrealtest.Start(t)
	holder, err := openAs(t, at, password, Owner{Identity: me(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	renewed := make(chan struct{})
	go func() { // lives for one renewal, then falls silent without giving back
		defer close(renewed)
		first, _ := holder.readLease(ctx)
		for now := first; now.Beat == first.Beat && ctx.Err() == nil; now, _ = holder.readLease(ctx) {
			next := holder.held
			next.Beat = "one more"
			if kept, err := holder.changeLease(ctx, holder.held, next); kept && err == nil {
				holder.held = next
			}
		}
	}()
	<-renewed
	begin := time.Now()
	s, err := openAs(t, at, password, Owner{Identity: me(t), Standby: true})
	took := time.Since(begin)
	if err != nil {
		t.Fatal(err)
	}
	if took < leaseTime-time.Second || took > leaseTime+2*time.Second {
		t.Errorf("took over after %s; want %s, and 2 s more at most", took, leaseTime)
	}
	if _, err := s.Commit(t.Context(), event("new")); err != nil {
		t.Error(err)
	}
	if err := holder.Run(t.Context()); fault.CodeOf(err) != "store.lease_lost" {
		t.Errorf("the former holder finds: %v", err)
	}
}

// TestLease_aRenewalThatCameLateIsNoTakeOver: a connection stalled, a renewal timed out and took
// place seconds later. The only instance took the changed beat for another instance's and ended
// itself.
func TestLease_aRenewalThatCameLateIsNoTakeOver(t *testing.T) {
	t.Parallel()
	at, password := surrealtest.Start(t)
	s, err := openAs(t, at, password, Owner{Identity: me(t)})
	if err != nil {
		t.Fatal(err)
	}
	late := s.held
	late.Beat = "of a renewal whose answer was lost"
	if changed, err := s.changeLease(t.Context(), s.held, late); !changed || err != nil {
		t.Fatal(changed, err)
	}
	if ours, err := s.reread(t.Context()); !ours || err != nil || s.held.Beat != late.Beat {
		t.Errorf("after an own renewal that came late: ours %v, %v, beat %q", ours, err, s.held.Beat)
	}
	other := s.held
	other.Epoch++
	if changed, err := s.changeLease(t.Context(), s.held, other); !changed || err != nil {
		t.Fatal(changed, err)
	}
	if ours, err := s.reread(t.Context()); ours || err != nil {
		t.Errorf("after a take-over: ours %v, %v", ours, err)
	}
	s.held = late // as it was before the renewal's answer was lost, once more
	s.held.Epoch = other.Epoch
	s.giveBack()
	if now, err := s.readLease(t.Context()); err != nil || !now.Free {
		t.Errorf("an end behind a late renewal: %+v, %v", now, err)
	}
}

// TestIdentify_oneProcessAFolder: also from another container, where pids mean nothing, a folder
// has one process.
func TestIdentify_oneProcessAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, release, err := instance.Identify(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := instance.Identify(dir); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second one: %v", err)
	}
	release()
	again, release, err := instance.Identify(dir)
	if err != nil || again != first || again.PID != os.Getpid() || again.Gone() {
		t.Errorf("%+v after %+v: %v", again, first, err)
	}
	release()
}
