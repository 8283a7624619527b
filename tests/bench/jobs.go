package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/tests/rig"
)

// job is a set of equal batches of operations that make one server each, some of them in flight at
// once.
type job struct {
	name     string
	shape    string // of BenchmarkDag: the limits are measured with it
	provider string // of configuration: noop takes no time, slow takes 1 ms a call
	batches  int
	inFlight int
	graph    [][]int // for each operation those it depends on
	limit    string  // the bound of its goal: raw or pebble
}

// jobs are those of BenchmarkDag, in the same shapes. Those that end in _1ms run at a provider that
// takes 1 ms: decisions 48 and 67 judge a tuning by them.
func jobs() []job {
	chain, fan, layered := make([][]int, 1000), make([][]int, 1000), make([][]int, 1000)
	for i := 1; i < 1000; i++ {
		chain[i] = []int{i - 1}
		if i < 999 {
			fan[i] = []int{0}
			fan[999] = append(fan[999], i)
		}
		if at := i - i%50 - 50; at >= 0 {
			layered[i] = []int{at + i%50, at + (i+1)%50}
		}
	}
	return []job{
		{"chain", "chain", "noop", 1, 1, chain, "raw"},
		{"fan", "fan", "noop", 1, 1, fan, "pebble"},
		{"layered", "layered", "noop", 1, 1, layered, "pebble"},
		{"many", "many", "noop", 1000, 200, ten(), "pebble"},
		{"layered_1ms", "layered", "slow", 1, 1, layered, "pebble"},
		{"many_1ms", "many", "slow", 1000, 200, ten(), "pebble"},
	}
}

// ten is a graph of ten operations.
func ten() [][]int { return [][]int{nil, {0}, {0}, {0}, {1, 2}, {2, 3}, {4}, {4, 5}, {5}, {6, 7, 8}} }

// turns is how often what is compared is measured: most jobs take a tenth of a second.
func (b *bench) turns() int {
	if b.quick {
		return 1
	}
	return 5
}

// job runs a job beside its limits, turn by turn, and prints the medians.
func (b *bench) job(ctx context.Context, r *rig.Rig, j job) error {
	var rates, cpus, raws, pebbles, late []float64
	pid := r.Orchestrator.PID()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil { // the peak starts anew
		return err
	}
	for turn := range b.turns() {
		limits, err := b.gobench(ctx, "./shared/store/pebblestore", "^BenchmarkDag$/^"+j.shape+"$", "300ms", "100ms")
		if err != nil {
			return err
		}
		raw, err := limits.of(read{"Dag/" + j.shape + "/raw", "tasks/s"})
		if err != nil {
			return err
		}
		pebble, err := limits.of(read{"Dag/" + j.shape + "/pebble", "tasks/s"})
		if err != nil {
			return err
		}
		raws, pebbles = append(raws, raw), append(pebbles, pebble)
		before, err := cpuOf(pid)
		if err != nil {
			return err
		}
		took, waits, err := j.run(ctx, r, turn)
		if err != nil {
			return err
		}
		after, err := cpuOf(pid)
		if err != nil {
			return err
		}
		tasks := float64(j.batches * len(j.graph))
		rates = append(rates, tasks/took.Seconds())
		cpus = append(cpus, (after-before).Seconds()*1000/tasks)
		late = append(late, waits[len(waits)*99/100].Seconds()*1000)
	}
	peak, err := peakOf(pid)
	if err != nil {
		return err
	}
	raw, pebble := value{"raw_log_" + j.name, median(raws), "tasks/s"}, value{"pebble_" + j.name, median(pebbles), "tasks/s"}
	limit, other := raw, pebble
	if j.limit == "pebble" {
		limit, other = pebble, raw
	}
	names := j.figures()
	lines := [][2]value{
		{{names[0], median(rates), "tasks/s"}, limit},
		{{names[1], median(rates), "tasks/s"}, other},
		{{names[2], median(cpus), "ms/task"}},
		{{names[3], peak, "MiB"}},
	}
	if j.batches > 1 {
		lines = append(lines, [2]value{{names[4], median(late), "ms/batch"}})
	}
	for _, l := range lines {
		if err := b.print(l[0], l[1]); err != nil {
			return err
		}
	}
	return nil
}

// figures returns the names of what a job measures, for -only.
func (j job) figures() []string {
	stem := "dag_" + j.name
	names := []string{stem, stem + "_beside_" + j.other(), stem + "_cpu", stem + "_rss"}
	if j.batches > 1 {
		names = append(names, stem+"_p99")
	}
	return names
}

func (j job) other() string {
	if j.limit == "raw" {
		return "pebble"
	}
	return "raw"
}

// run submits the batches and waits on the event stream until all have completed. It returns the
// time from the first request to the last event, and the time of each batch, in order of length.
func (j job) run(ctx context.Context, r *rig.Rig, turn int) (time.Duration, []time.Duration, error) {
	events, err := dial(ctx, r.Orchestrator.Address, r.Token)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = events.conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = events.conn.Close() })
	defer stop()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: j.inFlight}}
	defer client.CloseIdleConnections()
	w := &watched{began: make([]time.Time, j.batches), ended: make([]time.Time, j.batches), free: make(chan struct{}, j.inFlight)}
	bodies := make([][]byte, j.batches)
	for i := range bodies {
		if bodies[i], err = j.body(turn, i); err != nil {
			return 0, nil, err
		}
	}
	seen := make(chan error, 1)
	go func() { seen <- w.watch(events, j.batches*len(j.graph)) }()
	start := time.Now()
	var all sync.WaitGroup
	failed := make(chan error, j.batches)
	for i := range bodies {
		select {
		case w.free <- struct{}{}:
		case err := <-failed:
			return 0, nil, err
		case err := <-seen:
			return 0, nil, errors.Join(err, errors.New("the event stream ended early"))
		}
		w.began[i] = time.Now()
		all.Go(func() {
			if err := submit(ctx, client, r.Orchestrator.Address, r.Token, bodies[i]); err != nil {
				failed <- err
			}
		})
	}
	all.Wait()
	select {
	case err = <-failed:
		return 0, nil, err
	case err = <-seen:
	}
	took := time.Since(start)
	waits := make([]time.Duration, j.batches)
	for i := range waits {
		waits[i] = w.ended[i].Sub(w.began[i])
	}
	slices.Sort(waits)
	return took, waits, err
}

// body is the i-th batch; every operation makes a server with a name of its own.
func (j job) body(turn, i int) ([]byte, error) {
	type server struct {
		Name string `json:"name"`
		Plan string `json:"plan"`
		Zone string `json:"zone"`
	}
	type operation struct {
		ID            string   `json:"id"`
		Type          string   `json:"type"`
		Provider      string   `json:"provider"`
		Dependencies  []string `json:"dependencies"`
		ServerConfigs []server `json:"server_configs"`
	}
	ops := make([]operation, len(j.graph))
	for k, deps := range j.graph {
		o := operation{ID: fmt.Sprintf("op-%04d", k), Type: "server_batch", Provider: j.provider, Dependencies: []string{},
			ServerConfigs: []server{{fmt.Sprintf("%s-%d-%d-%d", j.name, turn, i, k), "1xCPU-2GB", "de-fra1"}}}
		for _, d := range deps {
			o.Dependencies = append(o.Dependencies, fmt.Sprintf("op-%04d", d))
		}
		ops[k] = o
	}
	return json.Marshal(map[string]any{"name": fmt.Sprintf("bench-%d", i), "parallel_limit": 1000, "operations": ops})
}

// watched is what the event stream tells about a job.
type watched struct {
	began []time.Time // of each batch, before its request
	ended []time.Time
	free  chan struct{} // one element a batch in flight
}

// watch reads events until all batches have ended, and checks that every task was reported as
// completed. It looks for texts instead of parsing: the client shares the processors with the
// server.
func (w *watched) watch(events *socket, tasks int) error {
	completed := 0
	for left := len(w.ended); left > 0; {
		event, err := events.next()
		if err != nil {
			return err
		}
		data, rest, _ := bytes.Cut(event, []byte(`"event_type":"`)) // the status stands in both halves
		final := bytes.Contains(rest, []byte(`"status":"completed"`))
		switch {
		case bytes.HasPrefix(rest, []byte("TaskStatusChanged")):
			if final {
				completed++
			}
		case bytes.HasPrefix(rest, []byte("BatchStatusChanged")):
			_, name, ok := bytes.Cut(data, []byte(`"name":"bench-`))
			number, _, _ := bytes.Cut(name, []byte(`"`))
			i, err := strconv.Atoi(string(number))
			if bytes.Contains(rest, []byte(`"status":"failed"`)) || !ok || err != nil {
				return fmt.Errorf("unexpected event: %s", event)
			}
			if final {
				w.ended[i] = time.Now()
				left--
				<-w.free
			}
		}
	}
	if completed != tasks {
		return fmt.Errorf("%d of %d tasks were reported as completed", completed, tasks)
	}
	return nil
}

// cpuOf returns the processor time that a process has used, from /proc.
func cpuOf(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:])) // from the third field on
	ticks := 0
	for _, f := range fields[11:13] { // user and system time, in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// peakOf returns the most memory that a process had resident, in MiB.
func peakOf(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.ParseFloat(kib, 64)
	return n / 1024, err
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}
