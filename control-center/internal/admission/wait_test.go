package admission_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/admission"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// side is one service's audit log and its memory of the other's.
type side struct {
	dir, origin string
	db          *feed.Hub
	log         *audit.Log
	peer        *audit.Peer
}

func newSide(t *testing.T, origin string) *side {
	db := memstore.New(store.Schema{Service: "t", Kinds: append(audit.Kinds(), feed.Kinds()...)})
	s := &side{dir: t.TempDir(), origin: origin, db: feed.NewHub(db)}
	s.open(t)
	act := audit.EntryDraft{Action: "server.create", Resource: "servers/web-01"}
	if _, err := audit.Update(t.Context(), s.db, &act, func(*store.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens the log as a start does.
func (s *side) open(t *testing.T) {
	t.Helper()
	keys, err := audit.MakeKeys(s.dir+"/keys", s.origin)
	if err != nil {
		t.Fatal(err)
	}
	if s.log, err = audit.Open(t.Context(), audit.Options{DB: s.db, Dir: s.dir + "/audit", Keys: keys, Log: obs.Discard()}); err != nil {
		t.Fatal(err)
	}
	if s.peer, err = audit.NewPeer(s.log, audit.Public{}); err != nil {
		t.Fatal(err)
	}
}

// meet lets both logs sign what they have, and exchanges heads until each has cosigned the other's.
func meet(t *testing.T, from, to *side) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	for _, s := range []*side{from, to} {
		go func() { _ = s.log.Run(ctx) }()
	}
	for range 3 {
		<-time.After(2 * time.Second)
		if err := from.peer.Meet(t.Context(), to.peer.Exchange); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	synctest.Wait()
}

// TestWait_aStartRefusesChangesUntilTheWitnessSpeaksOrTheTimeIsOver is decision 52.
func TestWait_aStartRefusesChangesUntilTheWitnessSpeaksOrTheTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		center, witness := newSide(t, "t/audit/control-center"), newSide(t, "t/audit/orchestrator")
		if w := admission.New(center.log, center.peer, time.Minute, obs.Discard()); w.Changes() != nil || w.Unwitnessed() {
			t.Error("a log that nobody has witnessed waits for somebody")
		}
		meet(t, witness, center)
		start := func(limit time.Duration) *admission.Wait {
			center.open(t)
			w := admission.New(center.log, center.peer, limit, obs.Discard())
			ctx, cancel := context.WithCancel(t.Context())
			t.Cleanup(cancel)
			go func() { _ = w.Run(ctx) }()
			return w
		}
		if w := start(0); w.Changes() != nil {
			t.Error("a limit of 0 waits")
		}
		w := start(time.Minute)
		<-time.After(59 * time.Second)
		if err := w.Changes(); fault.CodeOf(err) != "audit.waiting" || w.Reads() != nil || w.Unwitnessed() {
			t.Errorf("within the limit: changes %v, reads %v", err, w.Reads())
		}
		<-time.After(2 * time.Second)
		if err := w.Changes(); err != nil || !w.Unwitnessed() {
			t.Errorf("after the limit: %v, unwitnessed %v", err, w.Unwitnessed())
		}
		w = start(time.Minute)
		witness.open(t)
		if err := witness.peer.Meet(t.Context(), center.peer.Exchange); err != nil {
			t.Fatal(err)
		}
		if err := w.Changes(); err != nil || w.Unwitnessed() {
			t.Errorf("after the witness spoke: %v, unwitnessed %v", err, w.Unwitnessed())
		}
	})
}
