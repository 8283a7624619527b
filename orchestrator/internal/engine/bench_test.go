package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/pebblestore"
)

// noop is an executor of one step an operation that takes no time.
type noop struct{}

func (noop) Execute(_ context.Context, a dag.Attempt) dag.Result {
	res, _ := noop{}.Instant(a)
	return res
}

// Instant implements engine.Instant.
func (noop) Instant(a dag.Attempt) (dag.Result, bool) {
	if a.Kind != dag.Resolve {
		return dag.Result{Class: dag.OK}, true
	}
	return dag.Result{Class: dag.OK, Steps: []dag.Step{{Action: "server.create", Name: a.Operation.Servers[0].Name,
		Provider: "simulated"}}}, true
}

// ends closes a channel when n tasks have ended.
type ends struct {
	mu   sync.Mutex
	left int
	done chan struct{}
}

func (e *ends) Withdrawn(int) {}
func (e *ends) Undone(bool)   {}

func (e *ends) RunEnded(dag.Kind, dag.Status)              {}
func (e *ends) AttemptEnded(dag.AttemptKind, dag.Class)    {}
func (e *ends) AttemptTook(dag.AttemptKind, time.Duration) {}

func (e *ends) TaskEnded(string, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.left--; e.left == 0 {
		close(e.done)
	}
}

func node(i int, deps ...int) dag.Node {
	n := servers(fmt.Sprintf("op-%04d", i), nil, fmt.Sprintf("node-%04d", i))
	for _, d := range deps {
		n.Dependencies = append(n.Dependencies, fmt.Sprintf("op-%04d", d))
	}
	return n
}

func chain(n int) []dag.Node {
	nodes := []dag.Node{node(0)}
	for i := 1; i < n; i++ {
		nodes = append(nodes, node(i, i-1))
	}
	return nodes
}

func fan(n int) []dag.Node {
	nodes := []dag.Node{node(0)}
	var all []int
	for i := 1; i < n-1; i++ {
		nodes = append(nodes, node(i, 0))
		all = append(all, i)
	}
	return append(nodes, node(n-1, all...))
}

func layered(n, width int) []dag.Node {
	var nodes []dag.Node
	for i := range n {
		if i < width {
			nodes = append(nodes, node(i))
			continue
		}
		at := i - i%width - width
		nodes = append(nodes, node(i, at+i%width, at+(i+1)%width))
	}
	return nodes
}

func dag10() []dag.Node {
	return []dag.Node{node(0), node(1, 0), node(2, 0), node(3, 0), node(4, 1, 2), node(5, 2, 3), node(6, 4), node(7, 4, 5), node(8, 5),
		node(9, 6, 7, 8)}
}

// BenchmarkEngine runs whole graphs of no-op tasks, durable, with events and audit entries, on the
// embedded store. One iteration is one job.
func BenchmarkEngine(b *testing.B) {
	jobs := []struct {
		name    string
		batches [][]dag.Node
	}{
		{"chain", [][]dag.Node{chain(1000)}},
		{"fan", [][]dag.Node{fan(1000)}},
		{"layered", [][]dag.Node{layered(1000, 50)}},
		{"many", nil},
	}
	for range 1000 {
		jobs[3].batches = append(jobs[3].batches, dag10())
	}
	for _, job := range jobs {
		b.Run(job.name, func(b *testing.B) {
			db, err := pebblestore.Open(b.TempDir(), schema(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			count := &counter{DB: feed.NewHub(db)}
			total := 0
			for _, nodes := range job.batches {
				total += len(nodes)
			}
			meter := &ends{left: total * b.N, done: make(chan struct{})}
			e := start(b, count, noop{}, func(c *engine.Config) { c.Meter = meter })
			cpu := cpuTime()
			b.ResetTimer()
			for range b.N {
				var wg sync.WaitGroup
				turn := make(chan struct{}, 64)
				for _, nodes := range job.batches {
					turn <- struct{}{}
					wg.Go(func() {
						sub := batch(nodes...)
						sub.Definition.ParallelLimit = 1000
						e.submit(sub)
						<-turn
					})
				}
				wg.Wait()
			}
			<-meter.done
			b.StopTimer()
			tasks := float64(total * b.N)
			b.ReportMetric(tasks/b.Elapsed().Seconds(), "tasks/s")
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/tasks, "cpu-µs/task")
			b.ReportMetric(float64(count.n)/tasks, "commits/task")
			b.ReportMetric(float64(count.bytes)/tasks, "B/task")
			b.ReportMetric(rawLog(b, count.n, count.bytes/count.n).Seconds()/b.Elapsed().Seconds(), "of-raw-log")
			e.stop()
		})
	}
}

// rawLog returns how long a file takes to append and sync n records of that size one after the
// other: what the disk asks for the same commits when nothing else is done (many jobs share syncs,
// so they can be faster).
func rawLog(b *testing.B, n, size int) time.Duration {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	record := make([]byte, size)
	began := time.Now()
	for range n {
		if _, err := f.Write(record); err != nil {
			b.Fatal(err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

// counter counts commits and their bytes.
type counter struct {
	store.DB
	mu       sync.Mutex
	n, bytes int
}

func (c *counter) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	c.mu.Lock()
	c.n++
	for _, w := range b.Writes {
		c.bytes += len(w.Body)
	}
	for _, a := range b.Appends {
		c.bytes += len(a.Body)
	}
	c.mu.Unlock()
	return c.DB.Commit(ctx, b)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
