package pebblestore

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// The batch of the engine: one run header and two task documents, put on their revisions, and three
// entries; about 350 bytes each.

type runHeader struct {
	ID    string `json:"id"`
	Owner string `json:"owner"`
	Text  string `json:"text"`
	Turn  int    `json:"turn"`
}

// transition is what one writer does again and again to its own run.
type transition struct {
	id   string
	rev  uint64
	turn int
	text string
}

func (w *transition) commit(ctx context.Context, db store.DB) error {
	w.turn++
	doc := func(id, state string, e store.Expect) store.Write {
		body, err := canonical.Make(runHeader{ID: id, Owner: "owner", Text: w.text, Turn: w.turn})
		if err != nil {
			panic(err)
		}
		return store.Write{Key: store.Key{Kind: "task", ID: id}, Expect: e, Body: body,
			Index: []store.IndexKey{{Name: "state", Value: state}}}
	}
	task := w.turn / 2 * 2 // one create to one update, then the next two
	expect := store.Absent()
	if w.turn%2 == 1 && w.turn > 1 {
		expect = store.At(w.rev)
	}
	b := store.Batch{Writes: []store.Write{
		doc(w.id, "running", store.At(w.rev)),
		doc(fmt.Sprintf("%s-%08d-a", w.id, task), "running", expect),
		doc(fmt.Sprintf("%s-%08d-b", w.id, task), "queued", expect),
	}}
	for range 3 {
		b.Appends = append(b.Appends, store.Append{Stream: "events", Body: b.Writes[0].Body})
	}
	r, err := db.Commit(ctx, b)
	w.rev = r.Rev
	return err
}

func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("pebble-%d", writers), func(b *testing.B) {
			db, err := Open(b.TempDir(), storetest.Schema(), quiet)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			raw := newRawLog(b)
			defer raw.close()
			b.ReportAllocs()
			b.ResetTimer()
			rate, p99 := drive(b, writers, db)
			b.StopTimer()
			limit, limitP99 := drive(b, writers, raw)
			report(b, rate, p99)
			b.ReportMetric(limit, "raw-commits/s")
			b.ReportMetric(rate/limit, "ratio")
			b.ReportMetric(p99.Seconds()/limitP99.Seconds(), "p99-ratio")
		})
		b.Run(fmt.Sprintf("memory-%d", writers), func(b *testing.B) {
			rate, p99 := drive(b, writers, memstore.New(storetest.Schema()))
			report(b, rate, p99)
		})
	}
}

func report(b *testing.B, rate float64, p99 time.Duration) {
	b.ReportMetric(rate, "commits/s")
	b.ReportMetric(float64(p99.Microseconds())/1000, "p99-ms")
}

// drive lets the writers make b.N commits together and returns their rate and the 99th percentile.
func drive(b *testing.B, writers int, db store.DB) (rate float64, p99 time.Duration) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var lock sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	start := time.Now()
	for i := range writers {
		wg.Go(func() {
			w := &transition{id: fmt.Sprintf("run-%04d", i), text: strings.Repeat("x", 260)}
			var mine []time.Duration
			for left.Add(-1) >= 0 {
				at := time.Now()
				if err := w.commit(b.Context(), db); err != nil {
					b.Errorf("commit: %v", err)
					return
				}
				mine = append(mine, time.Since(at))
			}
			lock.Lock()
			all = append(all, mine...)
			lock.Unlock()
		})
	}
	wg.Wait()
	took := time.Since(start)
	slices.Sort(all)
	return float64(b.N) / took.Seconds(), all[len(all)*99/100]
}

// rawLog is the limit: a file that takes the same bytes, with one goroutine that writes all that
// waits and syncs once. It checks and finds nothing.
type rawLog struct {
	store.DB
	file     *os.File
	requests chan rawRequest
	done     sync.WaitGroup
}

type rawRequest struct {
	bytes  []byte
	answer chan uint64
}

func newRawLog(b *testing.B) *rawLog {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	l := &rawLog{file: f, requests: make(chan rawRequest, maxGroup)}
	l.done.Go(func() { l.run(b) })
	return l
}

func (l *rawLog) close() {
	close(l.requests)
	l.done.Wait()
	_ = l.file.Close()
}

func (l *rawLog) run(b *testing.B) {
	var group []rawRequest
	var out []byte
	number := uint64(0)
	for r := range l.requests {
		group, out = append(group[:0], r), append(out[:0], r.bytes...)
		for more := true; more && len(group) < maxGroup; {
			select {
			case r, ok := <-l.requests:
				if more = ok; ok {
					group, out = append(group, r), append(out, r.bytes...)
				}
			default:
				more = false
			}
		}
		if _, err := l.file.Write(out); err != nil {
			b.Error(err)
		}
		if err := syscall.Fdatasync(int(l.file.Fd())); err != nil {
			b.Error(err)
		}
		number++
		for _, r := range group {
			r.answer <- number
		}
	}
}

// Commit frames the batch as a log would and waits until it is synced.
func (l *rawLog) Commit(_ context.Context, batch store.Batch) (store.Receipt, error) {
	var out []byte
	for _, w := range batch.Writes {
		out = append(binary.AppendUvarint(out, uint64(len(w.Body))), w.Key.Kind+w.Key.ID...)
		out = append(out, w.Body...)
		for _, x := range w.Index {
			out = append(out, x.Name+x.Value...)
		}
	}
	for _, a := range batch.Appends {
		out = append(binary.AppendUvarint(out, uint64(len(a.Body))), a.Body...)
	}
	r := rawRequest{out, make(chan uint64, 1)}
	l.requests <- r
	return store.Receipt{Rev: <-r.answer}, nil
}
