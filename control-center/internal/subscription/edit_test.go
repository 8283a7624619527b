package subscription

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/shared/fault"
)

// TestUpdate_twiceWhileMessagesWait: what waits from before either edit is delivered.
func TestUpdate_twiceWhileMessagesWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memory())
		s.mustCreate(t, user1("a", "first"))
		s.say(t, "first", "1")
		for _, topic := range []string{"second", "third"} {
			if err := s.Update(t.Context(), "a", SubscriptionEdit{Topics: user1("a", topic).Topics}); err != nil {
				t.Fatal(err)
			}
			s.say(t, topic, topic)
		}
		for i, text := range []string{"1", "second", "third"} {
			s.expect(t, "a", text, uint64(i+1), 1)
			s.ack(t, "a", uint64(i+1))
		}
		s.expectNone(t, "a", Empty)
	})
}

// TestUpdate_aSmallerWindowWaitsForTheOldest: numbers that are acknowledged ahead of the oldest
// message stay theirs.
func TestUpdate_aSmallerWindowWaitsForTheOldest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memory())
		d := user1("a", "x")
		d.Options.MaxInFlight = 3
		s.mustCreate(t, d)
		s.say(t, "x", "1", "2")
		s.expect(t, "a", "1", 1, 1)
		s.expect(t, "a", "2", 2, 1)
		s.ack(t, "a", 2)
		if err := s.Update(t.Context(), "a", SubscriptionEdit{Options: &Options{}}); fault.CodeOf(err) != "subscription.in_flight" {
			t.Error(err)
		}
		s.ack(t, "a", 1)
		if err := s.Update(t.Context(), "a", SubscriptionEdit{Options: &Options{}}); err != nil {
			t.Error(err)
		}
	})
}

// TestAddPrefill_isRefusedOnceFilledFromOutside: a job of this service that still runs adds nothing
// to a lane that whoever has the role prefill has taken over.
func TestAddPrefill_isRefusedOnceFilledFromOutside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memory())
		d := user1("a", "x")
		d.RequestPrefill = true
		s.mustCreate(t, d)
		v, err := s.Get(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		one := []directory.Message{{Realm: "udm", Topic: "x", Body: body("1")}}
		if _, err := s.BeginPrefill(t.Context(), "a", v.Generation); err != nil {
			t.Fatal(err)
		}
		if _, err := s.AddPrefill(t.Context(), "a", v.Generation, one, Progress{}); err != nil {
			t.Fatal(err)
		}
		if err := s.SetStatus(t.Context(), "a", Running); err != nil {
			t.Fatal(err)
		}
		if q, err := s.AddPrefill(t.Context(), "a", v.Generation, one, Progress{}); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%d messages are in the lane, %v", q.PrefillEnd, err)
		}
	})
}
