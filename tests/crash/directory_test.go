package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// listener is a consumer of directory events with its ledger, which belongs to run until that ends.
type listener struct {
	*client.Directory
	seen  []int           // what came, in its order, repeats left out
	acked map[uint64]bool // numbers whose acknowledgement was answered
	wrong []string
}

// TestCrash_directoryEventsAreNeitherLostNorReordered kills the control-center while a publisher
// and three consumers run: nothing that was answered 202 is missing, nothing that was acknowledged
// comes back, and each consumer sees everything in the order in which it was published.
func TestCrash_directoryEventsAreNeitherLostNorReordered(t *testing.T) {
	for _, store := range []string{"embedded", "surrealdb"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			directoryEvents(t, store, *kills)
		})
	}
}

func directoryEvents(t *testing.T, store string, n int) {
	random := rand.New(rand.NewPCG(seedOf(t), 2))
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
	admin, publisher, err := rig.Directory(&o)
	if err != nil {
		t.Fatal(err)
	}
	admin.Tries, admin.Pause = 50, 100*time.Millisecond // it comes while the service starts, too
	listeners := make([]*listener, 3)
	for i := range listeners {
		name := fmt.Sprint("consumer-", i)
		listeners[i] = &listener{acked: map[uint64]bool{},
			Directory: &client.Directory{Base: admin.Base, Username: name, Password: secret.New("of " + name)}}
	}
	if store == "surrealdb" {
		rigtest.UseSurreal(t, &o)
	}
	r := rigtest.Prepare(t, o)
	if err := r.ControlCenter.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, l := range listeners {
		made := client.NewSubscription{Name: l.Username, Password: l.Password.Reveal(),
			Topics: []client.RealmTopic{{Realm: "udm", Topic: []string{"users/user", "users/user", "users/*"}[i]}}}
		if err := admin.Subscribe(t.Context(), made); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var consumers, publishers sync.WaitGroup
	for _, l := range listeners {
		consumers.Go(func() { l.run(ctx) })
	}
	publishing, enough := context.WithCancel(ctx)
	var taken []int // answered 202, in order; number i is published until it is, perhaps twice
	var count atomic.Int64
	publishers.Go(func() {
		for i := 1; publishing.Err() == nil; i++ {
			e := client.DirectoryEvent{Publisher: "udm-listener", Timestamp: "2026-01-01T00:00:00", Realm: "udm", Topic: "users/user",
				Body: client.DirectoryDelta{Old: []byte("{}"), New: fmt.Appendf(nil, `{"objectType":"users/user","n":%d}`, i)}}
			for ctx.Err() == nil {
				err := publisher.Publish(ctx, e)
				if err == nil {
					taken = append(taken, i)
					count.Add(1)
					break
				}
				if !fault.Is(err, fault.Unavailable) && ctx.Err() == nil {
					t.Errorf("a publish is answered %v", err)
					return
				}
				clock.Pause(ctx, 10*time.Millisecond, nil)
			}
		}
	})
	for i := range n {
		begun := count.Load()
		rigtest.Await(t, 30*time.Second, "messages are taken", func() bool { return count.Load() > begun })
		clock.Pause(t.Context(), time.Duration(50+random.IntN(350))*time.Millisecond, nil)
		if err := r.ControlCenter.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := r.ControlCenter.Start(t.Context()); err != nil {
			t.Fatalf("after kill %d: %v", i+1, err)
		}
	}
	enough()
	publishers.Wait()
	for _, l := range listeners {
		rigtest.Await(t, 60*time.Second, l.Username+" has acknowledged all that was taken", func() bool {
			q, err := admin.Queue(t.Context(), l.Username)
			return err == nil && q.Waiting == 0
		})
	}
	stop()
	consumers.Wait()
	for _, l := range listeners {
		for _, wrong := range l.wrong {
			t.Errorf("%s: %s", l.Username, wrong)
		}
		for _, i := range taken {
			if _, found := slices.BinarySearch(l.seen, i); !found {
				t.Errorf("%s never got %d, which was taken", l.Username, i)
			}
		}
	}
	t.Logf("%s: %d kills, %d messages taken, each by %d consumers", store, n, len(taken), len(listeners))
}

// run handles messages until ctx ends and keeps the ledger. A message may come again under its
// number, and a publish that was not answered twice: both with the object that came last. All else
// that is not the next object is wrong.
func (l *listener) run(ctx context.Context) {
	last := uint64(0) // number of the last message that came
	for ctx.Err() == nil {
		e, _, err := l.Next(ctx, 5*time.Second)
		if err != nil || e == nil {
			if err != nil && !fault.Is(err, fault.Unavailable) && ctx.Err() == nil {
				l.wrong = append(l.wrong, err.Error())
			}
			clock.Pause(ctx, 10*time.Millisecond, nil)
			continue
		}
		text := strings.TrimSuffix(strings.TrimPrefix(string(e.Body.New), `{"objectType":"users/user","n":`), "}")
		n, err := strconv.Atoi(text)
		before := 0
		if len(l.seen) > 0 {
			before = l.seen[len(l.seen)-1]
		}
		switch {
		case err != nil || n < before || n > before+1:
			l.wrong = append(l.wrong, fmt.Sprintf("%s comes after %d", e.Body.New, before))
		case e.Sequence != last && e.Sequence != last+1:
			l.wrong = append(l.wrong, fmt.Sprintf("number %d comes after %d", e.Sequence, last))
		case e.Sequence == last && l.acked[last]:
			l.wrong = append(l.wrong, fmt.Sprintf("number %d comes again, and its acknowledgement was answered", last))
		case n == before+1:
			l.seen = append(l.seen, n)
		}
		last = e.Sequence
		if err := l.Acknowledge(ctx, e.Sequence); err == nil || fault.Is(err, fault.NotFound) { // an earlier try has done it
			l.acked[e.Sequence] = true
		}
	}
}
