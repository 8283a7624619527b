package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func newHub() *Hub { return NewHub(memstore.New(store.Schema{Service: "test", Kinds: Kinds()})) }

func emit(t *testing.T, h *Hub, n int) {
	t.Helper()
	var b store.Batch
	for range n {
		b.Appends = append(b.Appends, store.Append{Stream: "events", Body: []byte(`{}`)})
	}
	if _, err := h.Commit(context.Background(), b); err != nil {
		t.Fatal(err)
	}
}

func TestHub_wakesTheStreamThatGrew(t *testing.T) {
	t.Parallel()
	h := newHub()
	events, other := h.Wait("events"), h.Wait("audit")
	emit(t, h, 1)
	select {
	case <-events:
	default:
		t.Error("not woken")
	}
	select {
	case <-other:
		t.Error("woken for nothing")
	default:
	}
	no := fault.New(fault.Unavailable, "x", "read-only")
	h.Refuse(no)
	if _, err := h.Commit(t.Context(), store.Batch{Appends: []store.Append{{Stream: "events", Body: []byte("{}")}}}); err != error(no) {
		t.Errorf("refused with %v", err)
	}
	h.Refuse(nil)
	emit(t, h, 1)
}

// collector checks order and remembers what came.
type collector struct {
	mu   sync.Mutex
	seen []uint64
	fail func(seq uint64) error
}

func (c *collector) handle(_ context.Context, entries []store.Entry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		if c.fail != nil {
			if err := c.fail(e.Seq); err != nil {
				return err
			}
		}
		c.seen = append(c.seen, e.Seq)
	}
	return nil
}

func TestFollower_inOrderAtLeastOnceOverRestartsAndFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		n := 0
		c := &collector{fail: func(uint64) error {
			if n++; n%17 == 0 {
				return errors.New("now and then")
			}
			return nil
		}}
		for round := range 10 {
			f := &Follower{Name: "f", Stream: "events", DB: h, Batch: 7, Handle: c.handle, Log: quiet,
				Every: time.Duration(round%2) * time.Minute}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- f.Run(ctx) }()
			for range 4 {
				emit(t, h, 5)
				<-time.After(time.Duration(round) * 100 * time.Millisecond)
			}
			if round == 9 {
				<-time.After(time.Hour)
				if f.Lag() != 0 {
					t.Errorf("lag %d", f.Lag())
				}
			}
			stop()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		want := uint64(1)
		for _, seq := range c.seen {
			if seq > want {
				t.Fatalf("gap: %d after %d", seq, want-1)
			}
			want = max(want, seq+1)
		}
		if want != 201 {
			t.Errorf("ended at %d", want)
		}
		row, err := Cursors.Get(t.Context(), h, "f")
		if err != nil || row.Value.Seq != 200 {
			t.Errorf("cursor %+v %v", row, err)
		}
	})
}

// TestFollower_stoppedInTheMiddleKeepsItsPlace stops one that has more to read and stores its
// cursor rarely.
func TestFollower_stoppedInTheMiddleKeepsItsPlace(t *testing.T) {
	t.Parallel()
	h := newHub()
	emit(t, h, 10)
	ctx, stop := context.WithCancel(t.Context())
	f := &Follower{Name: "f", Stream: "events", DB: h, Batch: 1, Every: time.Hour, Log: quiet,
		Handle: func(_ context.Context, entries []store.Entry) error {
			if entries[0].Seq == 3 {
				stop()
			}
			return nil
		}}
	if err := f.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if row, err := Cursors.Get(t.Context(), h, "f"); err != nil || row.Value.Seq != 3 {
		t.Errorf("cursor %+v, %v; want 3", row, err)
	}
}

func TestFollower_lingersWhileEntriesKeepComingButNotForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		var batches []int
		var at []time.Duration
		start := time.Now()
		f := &Follower{Name: "f", Stream: "events", DB: h, Linger: 100 * time.Millisecond, Log: quiet,
			Handle: func(_ context.Context, entries []store.Entry) error {
				batches, at = append(batches, len(entries)), append(at, time.Since(start))
				return nil
			}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		synctest.Wait()
		emit(t, h, 1) // alone
		<-time.After(500 * time.Millisecond)
		for range 30 { // for a second and a half
			emit(t, h, 1)
			<-time.After(50 * time.Millisecond)
		}
		<-time.After(2 * time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if len(batches) != 3 || batches[0] != 1 || at[0] != 100*time.Millisecond || at[1] != 1500*time.Millisecond || batches[1]+
			batches[2] != 30 {
			t.Errorf("batches of %v entries after %v", batches, at)
		}
	})
}

func TestFollower_fromNowOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		emit(t, h, 5)
		c := &collector{}
		ctx, stop := context.WithCancel(t.Context())
		f := &Follower{Name: "f", Stream: "events", DB: h, Start: store.Latest, Handle: c.handle, Log: quiet}
		go func() { _ = f.Run(ctx) }()
		synctest.Wait()
		emit(t, h, 2)
		synctest.Wait()
		stop()
		if fmt.Sprint(c.seen) != "[6 7]" {
			t.Errorf("%v", c.seen)
		}
	})
}

func TestTail_manyReadersSeeEverythingInOrder(t *testing.T) {
	t.Parallel()
	h := newHub()
	emit(t, h, 10)
	var made atomic.Int64
	tail := NewTail(h, "events", 64, func(into []uint64, entries []store.Entry) []uint64 {
		made.Add(int64(len(entries)))
		for _, e := range entries {
			into = append(into, e.Seq)
		}
		return into
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { _ = tail.Run(ctx) })
	const total = 1000
	var readers sync.WaitGroup
	for r := range 20 {
		readers.Go(func() {
			at := uint64(r % 11) // some begin below the ring
			var items []uint64
			for at < total {
				_, more := tail.More()
				before := at
				var err error
				items, at, err = tail.Read(ctx, items[:0], at, 1+r)
				if err != nil {
					t.Error(err)
					return
				}
				for i, seq := range items {
					if seq != before+uint64(i)+1 {
						t.Errorf("reader %d: %d after %d", r, seq, before)
						return
					}
				}
				if len(items) == 0 {
					select {
					case <-more:
					case <-time.After(60 * time.Second):
						t.Errorf("reader %d hangs at %d", r, at)
						return
					}
				}
			}
		})
	}
	for range (total - 10) / 10 {
		emit(t, h, 10)
	}
	readers.Wait()
	stop()
	running.Wait()
	if tail.Head() != total {
		t.Errorf("head %d", tail.Head())
	}
}

// TestTail_gathers emits entries alone and close together.
func TestTail_gathers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		tail := NewTail(h, "events", 64, func(into []uint64, entries []store.Entry) []uint64 {
			return append(into, make([]uint64, len(entries))...)
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tail.Run(ctx) }()
		<-time.After(time.Second)
		for i, step := range []struct {
			pause time.Duration
			head  uint64
		}{{time.Second, 1}, {gather / 4, 1}, {gather / 4, 1}, {gather / 4, 1}, {gather / 2, 4}, {gather, 5}, {time.Second, 7}} {
			<-time.After(step.pause)
			emit(t, h, 1)
			synctest.Wait()
			if tail.Head() != step.head {
				t.Errorf("step %d: head %d, want %d", i, tail.Head(), step.head)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// TestFollower_goesOnBehindWhatWasTrimmed trims under a follower that is stopped, and one that is
// stuck.
func TestFollower_goesOnBehindWhatWasTrimmed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		emit(t, h, 10)
		trim := func(through uint64) {
			t.Helper()
			if _, err := h.Commit(t.Context(), store.Batch{Trims: []store.Trim{{Stream: "events", Through: through}}}); err != nil {
				t.Fatal(err)
			}
		}
		trim(3) // before the follower ever ran
		stuck := true
		c := &collector{fail: func(seq uint64) error {
			if stuck && seq == 6 {
				return errors.New("not this one")
			}
			return nil
		}}
		f := &Follower{Name: "f", Stream: "events", DB: h, Batch: 1, Handle: c.handle, Log: quiet}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		<-time.After(time.Minute)
		trim(8)
		<-time.After(time.Minute)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(c.seen) != "[4 5 9 10]" {
			t.Errorf("seen %v", c.seen)
		}
		if row, err := Cursors.Get(t.Context(), h, "f"); err != nil || row.Value.Seq != 10 {
			t.Errorf("cursor %+v, %v", row, err)
		}
	})
}

func TestTail_readerBelowTheKeptRangeIsTold(t *testing.T) {
	t.Parallel()
	h := newHub()
	emit(t, h, 10)
	if _, err := h.Commit(t.Context(), store.Batch{Trims: []store.Trim{{Stream: "events", Through: 4}}}); err != nil {
		t.Fatal(err)
	}
	tail := NewTail(h, "events", 8, func(into []uint64, entries []store.Entry) []uint64 {
		return append(into, make([]uint64, len(entries))...)
	})
	tail.start(10)
	if _, at, err := tail.Read(t.Context(), nil, 3, 5); !errors.Is(err, ErrTrimmed) || at != 3 {
		t.Errorf("at %d, %v", at, err)
	}
	if items, at, err := tail.Read(t.Context(), nil, 4, 5); err != nil || at != 9 || len(items) != 5 {
		t.Errorf("%d items, at %d, %v", len(items), at, err)
	}
}
