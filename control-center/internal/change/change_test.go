package change_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/store/storetest"
	"github.com/provisioning-platform/platform/shared/token"
)

func fresh() store.DB {
	return memstore.New(store.Schema{Service: "control_center", Kinds: append(retention.Kinds(), feed.Kinds()...)})
}

// told returns the bodies of a stream.
func told(t *testing.T, db store.DB, stream string) (bodies []string) {
	t.Helper()
	page, err := db.Read(t.Context(), stream, 0, store.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Entries {
		bodies = append(bodies, string(e.Body))
	}
	return bodies
}

func disable() (*change.Act, func(*store.Tx) error) {
	act := change.New("user.update", "users/u1", nil)
	return act, func(*store.Tx) error {
		act.Revoke(token.RevokeSubject("u1", 2, 2_000_000_000))
		act.Emit(change.UserDisabled, "u1", change.Data{Username: "dana"})
		return nil
	}
}

// TestCommit_envelope shows an event as it is stored.
func TestCommit_envelope(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := fresh()
		ctx := audit.WithContext(t.Context(),
			&audit.Context{Actor: audit.Actor{Sub: "a1", Username: "root", IP: "192.0.2.1", JTI: "j1", SID: "s1"}})
		act, fn := disable()
		if err := (&change.Committer{DB: db}).Commit(ctx, act, fn); err != nil {
			t.Fatal(err)
		}
		events := told(t, db, change.Stream)
		var e change.Event
		if len(events) != 1 || json.Unmarshal([]byte(events[0]), &e) != nil {
			t.Fatal(events)
		}
		want := fmt.Sprintf(`{"actor":{"id":"a1","ip":"192.0.2.1","username":"root"},"data":{"username":"dana"},"event_type":"user.disabled","id":%q,"object_id":"u1","timestamp":"2000-01-01T00:00:00.000000Z"}`, e.ID)
		if events[0] != want {
			t.Errorf("%s\nwant %s", events[0], want)
		}
	})
}

// TestCommit_allOrNothing: a change that fails, or that no event tells of, leaves nothing at all.
func TestCommit_allOrNothing(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for what, c := range map[string]struct {
		end  error
		emit bool
		code string
	}{
		"no event":         {code: "change.no_event"},
		"a fault at last":  {end: broken, emit: true},
		"a fault at first": {end: broken},
	} {
		db, revoked := fresh(), &token.Revocations{}
		act := change.New("user.update", "users/u1", nil)
		err := (&change.Committer{DB: db, Revoked: revoked}).Commit(t.Context(), act, func(tx *store.Tx) error {
			act.Revoke(token.RevokeSession("s1", 2_000_000_000))
			if c.emit {
				act.Emit(change.UserUpdated, "u1", change.Data{})
			}
			return c.end
		})
		if c.end != nil && !errors.Is(err, c.end) || c.code != "" && fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", what, err)
		}
		if left := len(told(t, db, change.Stream)) + len(told(t, db, audit.Stream)) + len(revoked.Snapshot()); left != 0 {
			t.Errorf("%s: %d things are left", what, left)
		}
	}
}

// TestCommit_tellsOnceAfterAConflict: a function that is run again tells what its last run did.
func TestCommit_tellsOnceAfterAConflict(t *testing.T) {
	t.Parallel()
	db, revoked, runs := fresh(), &token.Revocations{}, 0
	act := change.New("user.update", "users/u1", nil)
	err := (&change.Committer{DB: db, Revoked: revoked}).Commit(t.Context(), act, func(tx *store.Tx) error {
		if runs++; runs == 1 {
			if _, err := feed.Cursors.Load(tx, "c"); err != nil {
				return err
			}
			if _, err := store.Update(tx.Context(), db,
				func(other *store.Tx) error { return feed.Cursors.Save(other, feed.Cursor{Name: "c"}) }); err != nil {
				return err
			}
		}
		act.Revoke(token.RevokeSession(fmt.Sprint("s", runs), 2_000_000_000))
		act.Emit(change.UserUpdated, fmt.Sprint("u", runs), change.Data{})
		return nil
	})
	events, entries := told(t, db, change.Stream), told(t, db, audit.Stream)
	if err != nil || runs != 2 || len(events) != 1 || len(entries) != 1 || len(revoked.Snapshot()) != 1 ||
		revoked.Check(token.Claims{SessionID: "s2"}) == "" {
		t.Errorf("%d runs leave the events %v, %d entries and the revocations %v: %v", runs, events, len(entries), revoked.Snapshot(), err)
	}
}

// TestCommit_unknownOutcomeIsNotInForce: what may not have happened is revoked by
// revocation.Log.Run when it did.
func TestCommit_unknownOutcomeIsNotInForce(t *testing.T) {
	t.Parallel()
	revoked := &token.Revocations{}
	act, fn := disable()
	err := (&change.Committer{DB: storetest.Faulty(fresh(), storetest.At(1, storetest.After)), Revoked: revoked}).Commit(t.Context(), act,
		fn)
	if !fault.Is(err, fault.Unavailable) || len(revoked.Snapshot()) != 0 {
		t.Errorf("%v, %v", err, revoked.Snapshot())
	}
}

// TestClass_theOldestEventsGo: the stream is bounded by age and number.
func TestClass_theOldestEventsGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := fresh()
		for range 10 {
			act, fn := disable()
			if err := (&change.Committer{DB: db}).Commit(t.Context(), act, fn); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Hour) // of the bubble's clock
		}
		ctx, stop := context.WithCancel(t.Context())
		p := &retention.Pruner{DB: db, Classes: []retention.Class{change.Class(db,
			retention.KeepRule{MaxAge: 4*time.Hour + time.Minute, Max: 2})}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		<-time.After(time.Minute)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if left := told(t, db, change.Stream); len(left) != 4 {
			t.Errorf("%d events are kept, want those of the last four hours: %v", len(left), left)
		}
	})
}
