package subscription

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// unsure is a store that commits rows of the router and then says that it does not know, once after
// each arm.
type unsure struct {
	store.DB
	arm atomic.Bool
}

func (u *unsure) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	r, err := u.DB.Commit(ctx, b)
	if len(b.Writes) > 0 && b.Writes[0].Key.Kind == routedMessages.Kind && u.arm.Swap(false) {
		return store.Receipt{}, fault.New(fault.Unavailable, "store.unknown", "the answer was lost")
	}
	return r, err
}

// TestNext_wakesWhenTheOutcomeOfRoutingWasUnknown: the message was routed after all, and whoever
// waits for it gets it then, not at the end of the wait; nothing is delivered twice or moved over.
func TestNext_wakesWhenTheOutcomeOfRoutingWasUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &unsure{DB: memory()}
		s := open(t, db)
		s.mustCreate(t, user1("exact", "users/user"))
		s.mustCreate(t, user1("pattern", "users/*"))
		for i, text := range []string{"a", "b"} {
			db.arm.Store(true)
			began := time.Now()
			s.say(t, "users/user", text)
			for _, name := range []string{"exact", "pattern"} {
				d, reason, err := s.Next(t.Context(), name, 5*time.Minute, false)
				if err != nil || d == nil || d.Sequence != uint64(i+1) || string(d.Body) != string(body(text)) {
					t.Fatal(d, reason, err)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("%s: delivered after %v", name, took)
				}
				if err := s.moveIdle(t.Context()); err != nil {
					t.Fatal(err)
				}
				s.ack(t, name, d.Sequence)
			}
		}
		s.expectNone(t, "exact", Empty)
	})
}

// TestNext_isNobodysAfterDeleteOrAnotherPassword: a poll that was let in under one password gets
// nothing under another one, nor from a later subscription of the same name.
func TestNext_isNobodysAfterDeleteOrAnotherPassword(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memory())
		for name, c := range map[string]struct {
			change func()
			want   error
		}{
			"again": {func() {
				if err := s.Delete(t.Context(), "again"); err != nil {
					t.Fatal(err)
				}
				s.mustCreate(t, user1("again", "users/user"))
			}, ErrUnknown},
			"rotated": {func() {
				fresh := "another"
				if err := s.Update(t.Context(), "rotated", SubscriptionEdit{Password: &fresh}); err != nil {
					t.Fatal(err)
				}
			}, ErrPassword},
		} {
			s.mustCreate(t, user1(name, "users/user"))
			r, err := s.Open(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				d, _, err := r.Next(t.Context(), time.Minute, false)
				if d != nil {
					t.Errorf("%s: the old poll is delivered %s", name, d.Body)
				}
				ended <- err
			}()
			synctest.Wait()
			c.change()
			s.say(t, "users/user", "for the new one")
			if err := <-ended; !errors.Is(err, c.want) {
				t.Errorf("%s: the old poll ended with %v", name, err)
			}
			s.expect(t, name, "for the new one", 1, 1)
			s.ack(t, name, 1)
		}
	})
}

// TestDelete_forgetsWhatIsInFlight: subscriptions that are made and deleted leave no memory behind.
func TestDelete_forgetsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memory())
		for range 3 {
			s.mustCreate(t, user1("a", "users/user"))
			s.say(t, "users/user", "x")
			s.expect(t, "a", "x", 1, 1)
			if err := s.Delete(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		if len(s.flights.of) != 0 || len(s.waiters.on) != 0 {
			t.Errorf("%d flights and %d waiters are left", len(s.flights.of), len(s.waiters.on))
		}
	})
}

// TestAcknowledge_whatWasDeliveredBeforeARestart: a strict queue refused the acknowledgement, so
// the work was done twice; and a queue with a limit of deliveries began to count anew.
func TestAcknowledge_whatWasDeliveredBeforeARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory()
		s := open(t, db)
		strict, limited := user1("strict", "users/user"), user1("limited", "users/user")
		strict.Options = Options{Strict: true, MaxInFlight: 3}
		limited.Options.MaxDeliveries = 1
		s.mustCreate(t, strict)
		s.mustCreate(t, limited)
		s.say(t, "users/user", "1", "2", "3")
		s.expect(t, "strict", "1", 1, 1)
		s.expect(t, "strict", "2", 2, 1)
		s.expect(t, "limited", "1", 1, 1)
		s = open(t, db)
		if err := s.Postpone(t.Context(), "strict", 1, time.Minute); err != nil {
			t.Errorf("work on it goes on: %v", err)
		}
		for _, seq := range []uint64{2, 1} {
			s.ack(t, "strict", seq)
		}
		if err := s.Acknowledge(t.Context(), "strict", 3); !errors.Is(err, ErrNoMessage) {
			t.Errorf("what was not delivered is acknowledged: %v", err)
		}
		s.expect(t, "strict", "3", 3, 1)
		s.expect(t, "limited", "2", 2, 1)
		if letters, _, err := s.DeadLetters(t.Context(), "limited", 0, 10); err != nil || len(letters) != 1 || letters[0].Sequence != 1 {
			t.Errorf("dead letters %v, %v", letters, err)
		}
	})
}
