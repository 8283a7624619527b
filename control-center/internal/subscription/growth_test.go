package subscription

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/shared/store"
)

// counted counts the rows that lists of the store return.
type counted struct {
	store.DB
	rows atomic.Int64
}

func (c *counted) List(ctx context.Context, q store.Query) (store.Page, error) {
	page, err := c.DB.List(ctx, q)
	c.rows.Add(int64(len(page.Docs)))
	return page, err
}

// TestNext_readsAWholeWindowOfEachTopicForOneMessage: a message out of 20 topics, and its
// acknowledgement, cost a few rows of each, not max_in_flight rows of each, twice.
func TestNext_readsAWholeWindowOfEachTopicForOneMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &counted{DB: memory()}
		s := open(t, db)
		d := user1("a", "topic/*")
		d.Options.MaxInFlight = MaxWindow
		s.mustCreate(t, d)
		const topics = 20
		for i := range topics * MaxWindow {
			s.say(t, fmt.Sprintf("topic/%d", i%topics), fmt.Sprint(i))
		}
		synctest.Wait()
		before := db.rows.Load()
		s.expect(t, "a", "0", 1, 1)
		s.ack(t, "a", 1)
		if n := db.rows.Load() - before; n > topics*10 {
			t.Errorf("%d rows were read for one message out of %d topics", n, topics)
		}
		for i := 1; i < MaxWindow+1; i++ { // the whole window, ahead of its oldest message
			s.expect(t, "a", fmt.Sprint(i), uint64(i+1), 1)
			if i > 1 {
				s.ack(t, "a", uint64(i+1))
			}
		}
		s.expectNone(t, "a", InFlight)
		s.ack(t, "a", 2)
		s.expect(t, "a", fmt.Sprint(MaxWindow+1), MaxWindow+2, 1)
	})
}

// TestMoveIdle_leavesIdleQueuesInTheWayOfRetention: one round moves all queues that want nothing,
// when they are more than one look shows.
func TestMoveIdle_leavesIdleQueuesInTheWayOfRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memory())
		for i := range 3 * tidyRows {
			s.mustCreate(t, user1(fmt.Sprintf("idle%d", i), "nothing/*"))
		}
		s.say(t, "users/user", "nobody's", "nobody's either")
		synctest.Wait()
		if err := s.moveIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if through, err := s.handled(t.Context()); err != nil || through != 2 {
			t.Errorf("retention may go up to message %d, %v; want 2", through, err)
		}
	})
}

// TestRequeue_wakesEverybodyWhoWaits: the first message that is requeued for a subscription wakes
// its own polls only, not those of every other subscription.
func TestRequeue_wakesEverybodyWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memory())
		s.mustCreate(t, user1("a", "users/*"))
		s.say(t, "users/user", "poison")
		s.expect(t, "a", "poison", 1, 1)
		if err := s.Bury(t.Context(), "a", 1, "no"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		woken, remove := s.waiters.add([]string{digestOf("udm", "other")})
		defer remove()
		if err := s.Requeue(t.Context(), "a", 1); err != nil {
			t.Fatal(err)
		}
		s.expect(t, "a", "poison", 2, 1)
		select {
		case <-woken:
			t.Error("a poll of another topic was woken")
		default:
		}
		m := directory.Message{Publisher: "p", Timestamp: directory.Time(time.Now()), Realm: "udm", Topic: "new", Body: body("new")}
		if err := s.Publish(t.Context(), []directory.Message{m}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(woken) != 1 {
			t.Error("a new topic woke nobody, who may have asked for it by a pattern")
		}
	})
}
