package pebblestore

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// BenchmarkDag is the physical limit of an orchestrator: graphs of tasks that do nothing, two
// transitions of about 350 bytes each, acted upon only when they are synced; no API, retries,
// timeouts or audit. The sinks are a raw log, the same preallocated, and this store with document
// and event in one commit.
func BenchmarkDag(b *testing.B) {
	for _, job := range []struct {
		name     string
		graphs   int
		inFlight int
		graph    graph
	}{
		{"chain", 1, 1, layers(1000, 1)}, {"fan", 1, 1, fan(1000)}, {"layered", 1, 1, layers(1000, 50)}, {"many", 1000, 200, ten()},
	} {
		for _, sink := range []struct {
			name string
			open func(*testing.B) func([]step) error
		}{{"raw", growing}, {"prealloc", preallocated}, {"pebble", stored}} {
			b.Run(job.name+"/"+sink.name, func(b *testing.B) {
				write := sink.open(b)
				for b.Loop() {
					if err := schedule(job.graph, job.graphs, job.inFlight, write); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*job.graphs*len(job.graph))/b.Elapsed().Seconds(), "tasks/s")
			})
		}
	}
}

// graph lists for each task those it depends on.
type graph [][]int

// layers is a graph of n tasks in layers of the given width; a task depends on two of the layer
// before.
func layers(n, width int) graph {
	g := make(graph, n)
	for i := width; i < n; i++ {
		above := i - i%width - width
		g[i] = []int{above + i%width}
		if width > 1 {
			g[i] = append(g[i], above+(i+1)%width)
		}
	}
	return g
}

// fan is one task, n-2 that depend on it, and one that depends on these.
func fan(n int) graph {
	g := make(graph, n)
	for i := 1; i < n-1; i++ {
		g[i] = []int{0}
		g[n-1] = append(g[n-1], i)
	}
	return g
}

func ten() graph {
	return graph{nil, {0}, {0}, {0}, {1, 2}, {2, 3}, {4}, {4, 5}, {5}, {6, 7, 8}}
}

// step is a transition of a task: it starts, or it has ended.
type step struct {
	run   int
	task  int
	ended bool
}

func (s step) body() []byte {
	state := "running"
	if s.ended {
		state = "succeeded"
	}
	body, err := json.Marshal(struct {
		At    time.Time `json:"at"`
		Run   int       `json:"run"`
		State string    `json:"state"`
		Task  int       `json:"task"`
		Text  string    `json:"text"`
	}{time.Now().UTC(), s.run, state, s.task, filler})
	if err != nil {
		panic(err)
	}
	return body
}

var filler = strings.Repeat("x", 250)

// schedule runs the graph runs times, inFlight at once: what may start and what has ended goes into
// one group.
func schedule(g graph, runs, inFlight int, write func([]step) error) error {
	dependents := make([][]int, len(g))
	for i, deps := range g {
		for _, d := range deps {
			dependents[d] = append(dependents[d], i)
		}
	}
	type run struct {
		wait []int
		open int
	}
	live := map[int]*run{}
	begun := 0
	var group, next []step
	begin := func() {
		for ; begun < runs && len(live) < inFlight; begun++ {
			r := &run{wait: make([]int, len(g)), open: len(g)}
			for i := range g {
				if r.wait[i] = len(g[i]); r.wait[i] == 0 {
					next = append(next, step{run: begun, task: i})
				}
			}
			live[begun] = r
		}
	}
	for begin(); len(next) > 0; begin() {
		group, next = next, group[:0]
		if err := write(group); err != nil {
			return err
		}
		for _, s := range group {
			if s.ended {
				continue
			}
			r := live[s.run]
			next = append(next, step{s.run, s.task, true})
			for _, d := range dependents[s.task] {
				if r.wait[d]--; r.wait[d] == 0 {
					next = append(next, step{run: s.run, task: d})
				}
			}
			if r.open--; r.open == 0 {
				delete(live, s.run)
			}
		}
	}
	return nil
}

func growing(b *testing.B) func([]step) error { return logFile(b, 0) }

func preallocated(b *testing.B) func([]step) error { return logFile(b, 256<<20) }

// logFile writes to a file with one fdatasync a group; size bytes of it are written with zeros
// before.
func logFile(b *testing.B, size int64) func([]step) error {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	for at := int64(0); at < size; at += 1 << 20 {
		if _, err := f.WriteAt(make([]byte, 1<<20), at); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	var at int64
	var out []byte
	return func(group []step) error {
		out = out[:0]
		for _, s := range group {
			out = append(append(out, s.body()...), '\n')
		}
		if size > 0 && at+int64(len(out)) > size {
			at = 0
		}
		if _, err := f.WriteAt(out, at); err != nil {
			return err
		}
		at += int64(len(out))
		return syscall.Fdatasync(int(f.Fd()))
	}
}

// stored commits to this store: the task's document and an event for each transition.
func stored(b *testing.B) func([]step) error {
	db, err := Open(b.TempDir(), storetest.Schema(), quiet)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return func(group []step) error {
		var batch store.Batch
		for _, s := range group {
			body := s.body()
			batch.Writes = append(batch.Writes,
				store.Write{Key: store.Key{Kind: "task", ID: fmt.Sprintf("%d-%d", s.run, s.task)}, Expect: store.Any(), Body: body})
			batch.Appends = append(batch.Appends, store.Append{Stream: "events", Body: body})
		}
		_, err := db.Commit(b.Context(), batch)
		return err
	}
}
