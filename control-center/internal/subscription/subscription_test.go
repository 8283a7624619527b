package subscription

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// open returns subscriptions over db, with their router running until the test ends.
func open(t *testing.T, db store.DB) *Subscriptions {
	t.Helper()
	hub := feed.NewHub(db)
	s := &Subscriptions{
		DB: hub, Changes: &change.Committer{DB: hub}, Hasher: user.NewHasher(user.Cost{Memory: 8, Time: 1}),
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Router().Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return s
}

func memory() store.DB {
	return memstore.New(store.Schema{Service: "control_center",
		Kinds: append(append(retention.Kinds(), feed.Kinds()...), Kinds()...)})
}

func (s *Subscriptions) mustCreate(t *testing.T, d Draft) {
	t.Helper()
	if created, err := s.Create(t.Context(), d); err != nil || !created {
		t.Fatal(created, err)
	}
}

// say publishes one message a text; body returns the body it has.
func (s *Subscriptions) say(t *testing.T, topic string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		m := directory.Message{Publisher: "udm-listener", Timestamp: "2026-01-01T00:00:00", Realm: "udm", Topic: topic, Body: body(text)}
		if err := s.Publish(t.Context(), []directory.Message{m}); err != nil {
			t.Fatal(err)
		}
	}
}

func body(text string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"old":{}, "new":{"objectType":"users/user","n":1.0,"big":18446744073709551616,"x":%q}}`, text))
}

// expect fetches one message and says what is wrong with it.
func (s *Subscriptions) expect(t *testing.T, name, text string, seq uint64, count int) {
	t.Helper()
	d, reason, err := s.Next(t.Context(), name, 5*time.Second, false)
	if err != nil || d == nil {
		t.Fatalf("instead of %s: %v, %v", text, reason, err)
	}
	if string(d.Body) != string(body(text)) || d.Sequence != seq || d.Count != count {
		t.Fatalf("delivered %s, number %d, delivery %d; want %s, %d, %d", d.Body, d.Sequence, d.Count, text, seq, count)
	}
}

func (s *Subscriptions) expectNone(t *testing.T, name string, why Reason) {
	t.Helper()
	if d, reason, err := s.Next(t.Context(), name, 100*time.Millisecond, false); d != nil || reason != why || err != nil {
		t.Fatalf("%v, %q, %v; want %q", d, reason, err, why)
	}
}

func (s *Subscriptions) ack(t *testing.T, name string, seq uint64) {
	t.Helper()
	if err := s.Acknowledge(t.Context(), name, seq); err != nil {
		t.Fatal(err)
	}
}

func user1(name string, topics ...string) Draft {
	d := Draft{Name: name, Password: "secret of " + name}
	for _, topic := range topics {
		d.Topics = append(d.Topics, Topic{Realm: "udm", Topic: topic})
	}
	return d
}

// TestNext_ordersOneInFlight: the oldest message again and again until it is acknowledged, then the
// next.
func TestNext_ordersOneInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memory())
		s.mustCreate(t, user1("a", "users/user", "groups/group"))
		s.say(t, "users/user", "1")
		s.say(t, "groups/group", "2")
		s.say(t, "other", "nobody's")
		s.say(t, "users/user", "3")
		s.expect(t, "a", "1", 1, 1)
		s.expectNone(t, "a", InFlight)
		s.expect(t, "a", "1", 1, 2)
		s.expect(t, "a", "1", 1, 3)
		s.ack(t, "a", 1)
		if err := s.Acknowledge(t.Context(), "a", 1); !errors.Is(err, ErrNoMessage) {
			t.Error("a second acknowledgement:", err)
		}
		if err := s.Acknowledge(t.Context(), "a", 3); !errors.Is(err, ErrNoMessage) {
			t.Error("one that was not delivered:", err)
		}
		s.expect(t, "a", "2", 2, 1)
		s.ack(t, "a", 2)
		s.expect(t, "a", "3", 3, 1)
		s.ack(t, "a", 3)
		s.expectNone(t, "a", Empty)
	})
}

// TestNext_afterARestartNamesTheSame: a number that was delivered names the same message, and the
// count of a message that was delivered again goes on.
func TestNext_afterARestartNamesTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory()
		s := open(t, db)
		s.mustCreate(t, user1("a", "users/*"))
		s.say(t, "users/user", "1")
		s.say(t, "users/contact", "2")
		s.expect(t, "a", "1", 1, 1)
		s.expect(t, "a", "1", 1, 2)
		s = open(t, db)
		s.expect(t, "a", "1", 1, 3)
		s = open(t, db)
		s.ack(t, "a", 1)
		s.expect(t, "a", "2", 2, 1)
	})
}

// TestNext_wakesAtOnce: a poll ends when a message comes, also in a topic that is new, when its
// subscription is deleted, and when its client leaves.
func TestNext_wakesAtOnce(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		act  func(*testing.T, *Subscriptions, context.CancelFunc)
		want error
	}{
		"a message": {act: func(t *testing.T, s *Subscriptions, _ context.CancelFunc) { s.say(t, "users/new", "1") }},
		"the subscription": {act: func(t *testing.T, s *Subscriptions, _ context.CancelFunc) { _ = s.Delete(t.Context(), "a") },
			want: ErrUnknown},
		"a client that leaves": {act: func(_ *testing.T, _ *Subscriptions, leave context.CancelFunc) { leave() }, want: context.Canceled},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, memory())
			s.mustCreate(t, user1("a", ".*"))
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			begun := time.Now()
			time.AfterFunc(time.Second, func() { c.act(t, s, leave) })
			d, _, err := s.Next(ctx, "a", 30*time.Second, false)
			if !errors.Is(err, c.want) || (d == nil) != (c.want != nil) || time.Since(begun) > 2*time.Second {
				t.Errorf("%s: %v, %v after %v", what, d, err, time.Since(begun))
			}
			synctest.Wait()
		})
	}
}

// TestPrefill_comesFirst: the lane of the prefill is served before what was published since the
// subscription exists, and nothing while it is not done.
func TestPrefill_comesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory()
		s := open(t, db)
		d := user1("a", "users/user")
		d.RequestPrefill = true
		s.mustCreate(t, d)
		v, err := s.Get(t.Context(), "a")
		if err != nil || v.Status != Pending {
			t.Fatal(v.Status, err)
		}
		s.say(t, "users/user", "live")
		s.expectNone(t, "a", PrefillPending)
		old := []directory.Message{{Realm: "udm", Topic: "users/user", Body: body("old")}}
		if _, err := s.AddPrefill(t.Context(), "a", v.Generation, old, Progress{}); !errors.Is(err, ErrNotRunning) {
			t.Fatal(err)
		}
		for i := range 2 { // the second begin, as after a restart, goes on
			q, err := s.BeginPrefill(t.Context(), "a", v.Generation)
			if err != nil || q.Prefill.Topic != i {
				t.Fatal(q, err)
			}
			if _, err := s.AddPrefill(t.Context(), "a", v.Generation, old, Progress{Topic: i + 1}); err != nil {
				t.Fatal(err)
			}
		}
		s.expectNone(t, "a", PrefillPending)
		if err := s.SetStatus(t.Context(), "a", Failed); err != nil {
			t.Fatal(err)
		}
		s.expectNone(t, "a", PrefillFailed)
		if err := s.SetStatus(t.Context(), "a", Done); err != nil {
			t.Fatal(err)
		}
		s.expect(t, "a", "old", 1, 1)
		s.ack(t, "a", 1)
		s.expect(t, "a", "old", 2, 1)
		s.ack(t, "a", 2)
		s.expect(t, "a", "live", 3, 1)
		if err := s.RestartPrefill(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		s.expectNone(t, "a", PrefillPending)
		if err := s.Acknowledge(t.Context(), "a", 3); !errors.Is(err, ErrNoMessage) {
			t.Error("a number from before the restart:", err)
		}
		if q, err := s.BeginPrefill(t.Context(), "a", v.Generation); err != nil || q.Prefill.Topic != 0 {
			t.Fatal(q, err)
		}
		if err := s.EndPrefill(t.Context(), "a", v.Generation, Done); err != nil {
			t.Fatal(err)
		}
		s.expect(t, "a", "live", 4, 1)
		if err := s.clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		for kind := range map[string]bool{"prefill": true, "prefill_leftover": true} {
			page, err := db.List(t.Context(), store.Query{Kind: kind, Limit: 10})
			if err != nil || len(page.Docs) != 0 {
				t.Errorf("%d documents of kind %s are left (%v)", len(page.Docs), kind, err)
			}
		}
	})
}

// TestWindow_keepsTheOrderOfOneObject: with several in flight, two messages about one object are
// never in flight together, and acknowledgements in any order settle each message once.
func TestWindow_keepsTheOrderOfOneObject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory()
		s := open(t, db)
		d := user1("a", "users/user")
		d.Options = Options{MaxInFlight: 3, RedeliveryMS: 60_000}
		s.mustCreate(t, d)
		for _, text := range []string{"x1", "x2", "y1", "z1"} {
			m := directory.Message{Realm: "udm", Topic: "users/user", Object: text[:1], Body: body(text)}
			if err := s.Publish(t.Context(), []directory.Message{m}); err != nil {
				t.Fatal(err)
			}
		}
		s.expect(t, "a", "x1", 1, 1)
		s.expect(t, "a", "y1", 3, 1)
		s.expectNone(t, "a", InFlight)
		s.ack(t, "a", 3)
		s = open(t, db) // what was acknowledged out of order stays so
		s.expect(t, "a", "x1", 1, 1)
		s.ack(t, "a", 1)
		s.expect(t, "a", "x2", 2, 1)
		s.expect(t, "a", "z1", 4, 1)
		s.ack(t, "a", 4)
		s.ack(t, "a", 2)
		s.expectNone(t, "a", Empty)
	})
}

// TestPublish_keepsLargeBodies: a body of some megabytes comes back byte for byte, and one that is
// too large is refused.
func TestPublish_keepsLargeBodies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memory())
		s.mustCreate(t, user1("a", "users/user"))
		large := strings.Repeat("ü\"\\", 500_000)
		s.say(t, "users/user", large)
		s.expect(t, "a", large, 1, 1)
		err := s.Publish(t.Context(), []directory.Message{{Realm: "udm", Topic: "users/user", Body: make([]byte, directory.MaxMessage+1)}})
		if !errors.Is(err, directory.ErrTooLarge) {
			t.Error(err)
		}
	})
}

// TestCreate_once: of many creates with different passwords one succeeds, the same one again
// changes nothing, and a name of a deleted one begins anew.
func TestCreate_once(t *testing.T) {
	t.Parallel()
	s := open(t, memory())
	results := make(chan bool)
	for i := range 8 {
		go func() {
			d := user1("a", "users/user")
			d.Password = fmt.Sprint(i)
			created, err := s.Create(t.Context(), d)
			if !created && !errors.Is(err, ErrDiffers) {
				t.Error(created, err)
			}
			results <- created
		}()
	}
	created := 0
	for range 8 {
		if <-results {
			created++
		}
	}
	if created != 1 {
		t.Errorf("%d of 8 creates made a subscription", created)
	}
	b := user1("b", "x", "y")
	s.mustCreate(t, b)
	b.Topics[0], b.Topics[1] = b.Topics[1], b.Topics[0]
	if again, err := s.Create(t.Context(), b); again || err != nil {
		t.Error(again, err)
	}
	for _, change := range []func(*Draft){func(d *Draft) { d.Password = "other" }, func(d *Draft) { d.RequestPrefill = true },
		func(d *Draft) { d.Topics = nil }} {
		other := b
		change(&other)
		if again, err := s.Create(t.Context(), other); again || !errors.Is(err, ErrDiffers) {
			t.Error(again, err)
		}
	}
	if ok, err := s.Authenticate(t.Context(), "b", b.Password); !ok || err != nil {
		t.Error(ok, err)
	}
	if ok, err := s.Authenticate(t.Context(), "b", "wrong"); ok || err != nil {
		t.Error(ok, err)
	}
	if ok, err := s.Authenticate(t.Context(), "nobody", ""); ok || err != nil {
		t.Error(ok, err)
	}
	for _, name := range []string{"", "a.b", "a/b", "-a", "ä", strings.Repeat("a", 129), "a b", "*"} {
		if created, err := s.Create(t.Context(), user1(name)); created || err == nil {
			t.Errorf("%q: %v %v", name, created, err)
		}
	}
}

// TestPrune_keepsWhatAQueueWants: what is over goes with its rows and parts, but for what a queue
// has before it; and an idle queue holds nothing back.
func TestPrune_keepsWhatAQueueWants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory()
		s := open(t, db)
		s.mustCreate(t, user1("a", "users/user"))
		s.mustCreate(t, user1("idle", "nothing"))
		s.say(t, "users/user", strings.Repeat("1", 100_000), "2")
		s.say(t, "other", "3")
		<-time.After(2 * time.Hour)
		prune := func() (n int64) {
			class := s.Class(retention.KeepRule{MaxAge: time.Hour})
			for {
				step, err := class.Next(t.Context(), time.Now())
				if err != nil {
					t.Fatal(err)
				}
				if step.Empty() {
					return n
				}
				n += step.Pruned[className]
				if _, err := db.Commit(t.Context(), step.Batch); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.expect(t, "a", strings.Repeat("1", 100_000), 1, 1)
		if n := prune(); n != 0 {
			t.Errorf("%d messages went though nothing is acknowledged", n)
		}
		s.ack(t, "a", 1)
		if err := s.moveIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := prune(); n != 1 {
			t.Errorf("%d messages went after one was acknowledged", n)
		}
		s.expect(t, "a", "2", 2, 1)
		s.ack(t, "a", 2)
		if err := s.moveIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := prune(); n != 2 {
			t.Errorf("%d messages went at last, want 2", n)
		}
		for _, kind := range []string{"message", "message_part"} {
			page, err := db.List(t.Context(), store.Query{Kind: kind, Limit: 10})
			if err != nil || len(page.Docs) != 0 {
				t.Errorf("%d documents of kind %s are left (%v)", len(page.Docs), kind, err)
			}
		}
		s.say(t, "users/user", "4")
		s.expect(t, "a", "4", 3, 1)
	})
}

// TestDeadLetters_aPoisonMessageStopsNobody: after its deliveries, or when its consumer says so, a
// message is kept aside with the reason; it can be shown, delivered again to its subscription
// alone, and dropped.
func TestDeadLetters_aPoisonMessageStopsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory()
		s := open(t, db)
		d := user1("a", "users/user")
		d.Options.MaxDeliveries = 2
		s.mustCreate(t, d)
		s.mustCreate(t, user1("b", "users/user"))
		large := strings.Repeat("x", 100_000)
		s.say(t, "users/user", "poison", large, "good")
		s.expect(t, "a", "poison", 1, 1)
		s.expect(t, "a", "poison", 1, 2)
		s.expect(t, "a", large, 2, 1)
		if err := s.Bury(t.Context(), "a", 2, "it is too large"); err != nil {
			t.Fatal(err)
		}
		s.expect(t, "a", "good", 3, 1)
		s.ack(t, "a", 3)
		letters, total, err := s.DeadLetters(t.Context(), "a", 0, 10)
		if err != nil || total != 2 || letters[0].Sequence != 1 || letters[1].Reason != "it is too large" ||
			!strings.Contains(letters[0].Reason, "2 deliveries") {
			t.Fatal(letters, total, err)
		}
		if _, m, err := s.DeadLetter(t.Context(), "a", 2); err != nil || string(m.Body) != string(body(large)) {
			t.Fatal(err)
		}
		if err := s.Requeue(t.Context(), "a", 2); err != nil {
			t.Fatal(err)
		}
		if err := s.Drop(t.Context(), "a", 1); err != nil {
			t.Fatal(err)
		}
		if err := s.Drop(t.Context(), "a", 1); !errors.Is(err, ErrNoDeadLetter) {
			t.Error(err)
		}
		s.expect(t, "a", large, 4, 1)
		s.ack(t, "a", 4)
		s.expectNone(t, "a", Empty)
		for i, text := range []string{"poison", large, "good"} {
			s.expect(t, "b", text, uint64(i+1), 1)
			s.ack(t, "b", uint64(i+1))
		}
		s.expectNone(t, "b", Empty)
	})
}

// TestPostpone_givesBackAndKeeps: a message that is given back comes at once, and one that is still
// worked on does not come again meanwhile.
func TestPostpone_givesBackAndKeeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memory())
		s.mustCreate(t, user1("a", "users/user"))
		s.say(t, "users/user", "1")
		s.expect(t, "a", "1", 1, 1)
		if err := s.Postpone(t.Context(), "a", 1, 0); err != nil {
			t.Fatal(err)
		}
		s.expect(t, "a", "1", 1, 2)
		if err := s.Postpone(t.Context(), "a", 1, time.Minute); err != nil {
			t.Fatal(err)
		}
		if d, reason, err := s.Next(t.Context(), "a", 50*time.Second, false); d != nil || reason != InFlight || err != nil {
			t.Error(d, reason, err)
		}
		s.ack(t, "a", 1)
	})
}

// TestUpdate_keepsTheQueue: what waits comes under the topics of its time, also after a restart,
// and the new password counts at once.
func TestUpdate_keepsTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memory()
		s := open(t, db)
		s.mustCreate(t, user1("a", "old"))
		s.say(t, "old", "1", "2")
		s.say(t, "new", "from before")
		password := "another one"
		if err := s.Update(t.Context(), "a", SubscriptionEdit{Topics: user1("a", "new").Topics, Password: &password}); err != nil {
			t.Fatal(err)
		}
		s.say(t, "old", "from after")
		s.say(t, "new", "3")
		for _, c := range []struct {
			password string
			good     bool
		}{{"secret of a", false}, {password, true}} {
			if ok, err := s.Authenticate(t.Context(), "a", c.password); ok != c.good || err != nil {
				t.Error(c, ok, err)
			}
		}
		s.expect(t, "a", "1", 1, 1)
		s.ack(t, "a", 1)
		s = open(t, db)
		s.expect(t, "a", "2", 2, 1)
		s.ack(t, "a", 2)
		s.expect(t, "a", "3", 3, 1)
		s.ack(t, "a", 3)
		s.expectNone(t, "a", Empty)
		if err := s.Update(t.Context(), "a", SubscriptionEdit{}); fault.CodeOf(err) != "subscription.nothing" {
			t.Error(err)
		}
	})
}

// TestRewind_getsMessagesAgain: from a number and from a time, with numbers of their own.
func TestRewind_getsMessagesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memory())
		s.mustCreate(t, user1("a", "x"))
		s.say(t, "x", "1")
		<-time.After(time.Hour)
		later := time.Now()
		s.say(t, "x", "2", "3")
		for i, text := range []string{"1", "2", "3"} {
			s.expect(t, "a", text, uint64(i+1), 1)
			s.ack(t, "a", uint64(i+1))
		}
		if from, err := s.Rewind(t.Context(), "a", 0, later); err != nil || from != 2 {
			t.Fatal(from, err)
		}
		s.expect(t, "a", "2", 5, 1)
		if _, err := s.Rewind(t.Context(), "a", 1, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Acknowledge(t.Context(), "a", 5); !errors.Is(err, ErrNoMessage) {
			t.Error("a number from before:", err)
		}
		s.expect(t, "a", "1", 6, 1)
		if _, err := s.Rewind(t.Context(), "a", 9, time.Time{}); fault.CodeOf(err) != "subscription.ahead" {
			t.Error(err)
		}
	})
}

// TestDepth_countsWithoutWalking: what waits is counted by the places in the lists, with edits of
// the topics, a prefill and dead letters.
func TestDepth_countsWithoutWalking(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memory())
		d := user1("a", "old", "both")
		d.Options.MaxInFlight = 3
		s.mustCreate(t, d)
		expect := func(waiting, number uint64, age time.Duration) {
			t.Helper()
			synctest.Wait()
			got, err := s.Depth(t.Context(), "a")
			if err != nil || got.Waiting != waiting || got.Number != number || age > 0 && time.Since(got.Oldest) != age {
				t.Fatalf("%+v, %v; want %d from %d", got, err, waiting, number)
			}
		}
		expect(0, 0, 0)
		s.say(t, "old", "1", "2")
		s.say(t, "other", "x")
		s.say(t, "both", "3")
		<-time.After(time.Minute)
		expect(3, 1, time.Minute)
		if err := s.Update(t.Context(), "a", SubscriptionEdit{Topics: user1("a", "both", "new").Topics}); err != nil {
			t.Fatal(err)
		}
		s.say(t, "old", "x")
		s.say(t, "both", "4")
		s.say(t, "new", "5")
		expect(5, 1, time.Minute)
		s.expect(t, "a", "1", 1, 1)
		s.expect(t, "a", "2", 2, 1)
		s.ack(t, "a", 2)
		expect(4, 1, 0)
		s.ack(t, "a", 1)
		expect(3, 3, 0)
		s.expect(t, "a", "3", 3, 1)
		if err := s.Bury(t.Context(), "a", 3, "bad"); err != nil {
			t.Fatal(err)
		}
		expect(2, 4, 0)
		if err := s.measure(t.Context()); err != nil || s.metrics.letters.Load() != 1 || s.metrics.subscriptions.Load() != 1 {
			t.Error(err, s.metrics.letters.Load())
		}
	})
}
