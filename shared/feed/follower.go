package feed

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
)

// Figures of a follower.
const (
	pollEvery  = time.Second // reads without a wake-up: an append whose outcome was unknown may land later
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
	lingers    = 10 // at most, while entries keep coming
)

// Follower hands the entries of a stream to Handle, at least once and in order, from the place its
// cursor names. Build it as a literal; one process runs a name once.
type Follower struct {
	Name   string // id of the cursor
	Stream string
	DB     *Hub
	Batch  int           // entries handed over at once; 0 means 100
	Start  uint64        // where to begin without a cursor: 0 at the beginning, store.Latest at the end
	Every  time.Duration // how often a busy follower stores its cursor; 0 after every batch
	// how long it lets entries gather after a wake-up, for whom a batch costs much more than an
	// entry; ten times that while they keep coming
	Linger time.Duration
	Handle func(ctx context.Context, entries []store.Entry) error
	Log    *slog.Logger

	seq, head atomic.Uint64
}

// Lag returns how many entries are not handled yet, as of the last look.
func (f *Follower) Lag() uint64 {
	head, seq := f.head.Load(), f.seq.Load()
	if head < seq {
		return 0
	}
	return head - seq
}

// Meter registers under name a gauge of Lag, with its help text.
func (f *Follower) Meter(r *obs.Registry, name, help string) {
	r.GaugeFunc(name, help, func() float64 { return float64(f.Lag()) })
}

// Run follows until ctx ends and then returns nil. What fails, the store or Handle, is tried again
// with growing pauses for ever: the entry is committed, so it is to be handled.
func (f *Follower) Run(ctx context.Context) error {
	retry := firstRetry
	for ctx.Err() == nil {
		handled := f.seq.Load()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		if f.seq.Load() != handled {
			retry = firstRetry
		}
		f.Log.Warn("follower tries again", "follower", f.Name, "after", f.seq.Load(), "error", err, "pause", retry)
		clock.Pause(ctx, retry/2+rand.N(retry), nil)
		retry = min(2*retry, lastRetry)
	}
	return nil
}

// follow runs until something fails.
func (f *Follower) follow(ctx context.Context) (err error) {
	row, err := Cursors.Get(ctx, f.DB, f.Name)
	if err != nil {
		return err
	}
	if row.Rev == 0 {
		row.Value = Cursor{Name: f.Name, Seq: f.Start, Stream: f.Stream}
		if f.Start == store.Latest {
			page, err := f.DB.Read(ctx, f.Stream, store.Latest, 0)
			if err != nil {
				return err
			}
			row.Value.Seq = page.Head
			if row, err = f.save(ctx, row); err != nil {
				return err
			}
		}
	}
	f.seq.Store(row.Value.Seq)
	saved, unsaved := time.Now(), false
	defer func() {
		if unsaved { // what went well is not to be handled again, neither because of what failed nor after a clean stop
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), pollEvery)
			defer cancel()
			_, lost := f.save(last, row)
			err = errors.Join(err, lost)
		}
	}()
	for {
		wake := f.DB.Wait(f.Stream)
		page, err := f.DB.Read(ctx, f.Stream, row.Value.Seq, f.batch())
		if err != nil {
			return err
		}
		f.head.Store(page.Head)
		if page.First > row.Value.Seq+1 {
			if row, err = f.skip(ctx, row, page.First-1); err != nil {
				return err
			}
			continue
		}
		n := len(page.Entries)
		if n > 0 {
			if err := f.Handle(ctx, page.Entries); err != nil {
				return err
			}
			row.Value.Seq, unsaved = page.Entries[n-1].Seq, true
			f.seq.Store(row.Value.Seq)
		}
		if unsaved && (n == 0 || time.Since(saved) >= f.Every) {
			saved, unsaved = time.Now(), false
			if row, err = f.save(ctx, row); err != nil {
				return err
			}
		}
		if n < f.batch() && !f.await(ctx, wake) {
			return ctx.Err()
		}
	}
}

// skip moves the cursor behind what was trimmed: retention has moved it already, or this follower
// begins now. Only a store that lost its cursors, or a trim that asked nobody, leaves something
// to say.
func (f *Follower) skip(ctx context.Context, row store.Row[Cursor], low uint64) (store.Row[Cursor], error) {
	now, err := Cursors.Get(ctx, f.DB, f.Name)
	if err != nil {
		return row, err
	}
	if now.Rev != 0 && now.Value.Seq < low {
		f.Log.Warn("follower goes on behind entries that are not kept", "follower", f.Name, "after", now.Value.Seq, "from", low+1)
	}
	if now.Rev != 0 {
		row = now
	}
	if row.Value.Seq < low {
		row.Value.Seq = low
		row, err = f.save(ctx, row)
	}
	f.seq.Store(row.Value.Seq)
	return row, err
}

// save stores the cursor if nobody else moved it since row was read; a conflict is another follower
// of the same name, and the loser starts again from what is stored.
func (f *Follower) save(ctx context.Context, row store.Row[Cursor]) (store.Row[Cursor], error) {
	w, err := Cursors.Write(row.Value, store.At(row.Rev))
	if err != nil {
		return row, err
	}
	r, err := f.DB.Commit(ctx, store.Batch{Writes: []store.Write{w}})
	row.Rev = r.Rev
	return row, err
}

// await waits for entries to come and to gather; it says false when ctx has ended.
func (f *Follower) await(ctx context.Context, wake <-chan struct{}) bool {
	if !clock.Pause(ctx, pollEvery, wake) {
		return false
	}
	for range lingers {
		if f.Linger == 0 {
			return true
		}
		more := f.DB.Wait(f.Stream)
		if !clock.Pause(ctx, f.Linger, nil) {
			return false
		}
		select {
		case <-more:
		default:
			return true
		}
	}
	return true
}

func (f *Follower) batch() int {
	if f.Batch == 0 {
		return 100
	}
	return min(f.Batch, store.MaxPage)
}
