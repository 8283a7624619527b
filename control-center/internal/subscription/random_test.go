package subscription

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
)

var seed = flag.Uint64("seed", 0, "seed of the random acts; 0 takes one from the clock")

// acts is a queue under random acts, with what is known of its messages.
type acts struct {
	*Subscriptions
	t         *testing.T
	db        store.DB
	stop      func()
	published int
	named     map[uint64]int  // which message a number has named
	done      map[int]bool    // acknowledged
	requeued  map[int]bool    // they come behind later ones
	dead      map[uint64]bool // numbers of dead letters
	last      int             // the newest message that came and was not requeued
}

// restart goes on with a process that knows only what is stored.
func (a *acts) restart() {
	if a.stop != nil {
		a.stop()
	}
	hub := feed.NewHub(a.db)
	a.Subscriptions = &Subscriptions{DB: hub, Changes: &change.Committer{DB: hub}, Hasher: user.NewHasher(user.Cost{Memory: 8, Time: 1}),
		Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if err := a.Load(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(a.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = a.Router().Run(ctx) }()
	a.stop = func() { cancel(); <-ended }
}

// next fetches one message and checks what is known of it; 0 is none.
func (a *acts) next(wait time.Duration) (message int, number uint64) {
	a.t.Helper()
	d, _, err := a.Next(a.t.Context(), "a", wait, false)
	if err != nil {
		a.t.Fatal(err)
	}
	if d == nil {
		return 0, 0
	}
	var b struct{ New struct{ X string } }
	if err := json.Unmarshal(d.Body, &b); err != nil {
		a.t.Fatal(err)
	}
	n, err := strconv.Atoi(b.New.X)
	switch before, known := a.named[d.Sequence]; {
	case err != nil:
		a.t.Fatal(err)
	case known && before != n:
		a.t.Errorf("number %d named message %d and names %d", d.Sequence, before, n)
	case a.done[n]:
		a.t.Errorf("message %d comes again under number %d, and was acknowledged", n, d.Sequence)
	case !known && !a.requeued[n] && n <= a.last:
		a.t.Errorf("message %d comes after %d", n, a.last)
	case !known && !a.requeued[n]:
		a.last = n
	}
	a.named[d.Sequence] = n
	return n, d.Sequence
}

func (a *acts) requeue(number uint64) {
	if err := a.Requeue(a.t.Context(), "a", number); err != nil {
		a.t.Fatal(err)
	}
	delete(a.dead, number)
	a.requeued[a.named[number]] = true
}

// act does one thing at random.
func (a *acts) act(random *rand.Rand) {
	check := func(err error) {
		if err != nil {
			a.t.Fatal(err)
		}
	}
	switch p := random.IntN(100); {
	case p < 35:
		a.published++
		a.say(a.t, "users/user", strconv.Itoa(a.published))
	case p < 85:
		n, number := a.next(time.Duration(random.IntN(2)) * 10 * time.Millisecond)
		switch how := random.IntN(10); {
		case n == 0:
		case how < 5:
			check(a.Acknowledge(a.t.Context(), "a", number))
			a.done[n] = true
		case how < 7:
			check(a.Bury(a.t.Context(), "a", number, "at random"))
			a.dead[number] = true
		case how < 8:
			check(a.Postpone(a.t.Context(), "a", number, 0))
		}
	case p < 88:
		if letters := slices.Sorted(maps.Keys(a.dead)); len(letters) > 0 {
			a.requeue(letters[random.IntN(len(letters))])
		}
	case p < 92:
		a.restart()
	case p < 95:
		check(a.moveIdle(a.t.Context()))
	default:
		<-time.After(1100 * time.Millisecond)
	}
}

// TestQueue_randomActsLoseNothingAndBringNothingBack publishes, delivers, acknowledges out of
// order, buries, requeues and restarts at random.
func TestQueue_randomActsLoseNothingAndBringNothingBack(t *testing.T) {
	t.Parallel()
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("again with: go test ./control-center/internal/subscription -run '%s' -seed %d", t.Name(), s)
	for _, window := range []int{1, 2, 5} {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(s, uint64(window)))
			a := &acts{t: t, db: memory(), named: map[uint64]int{}, done: map[int]bool{}, requeued: map[int]bool{}, dead: map[uint64]bool{}}
			a.restart()
			defer func() { a.stop() }()
			d := user1("a", "users/user", "users/*")
			d.Options.MaxInFlight = window
			a.mustCreate(t, d)
			for range 600 {
				if a.act(random); t.Failed() {
					return
				}
			}
			for _, number := range slices.Sorted(maps.Keys(a.dead)) {
				a.requeue(number)
			}
			for {
				n, number := a.next(5 * time.Second)
				if n == 0 {
					break
				}
				a.ack(t, "a", number)
				a.done[n] = true
			}
			if len(a.done) != a.published {
				t.Errorf("window %d: %d of %d messages were acknowledged", window, len(a.done), a.published)
			}
		})
	}
}
