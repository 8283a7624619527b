package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// read says where a figure stands in the output of `go test -bench`: the benchmark's name and the
// unit.
type read struct{ benchmark, unit string }

// figure is a benchmark's value beside its limit's.
type figure struct {
	name, unit string
	value      read
	limitName  string // empty: no limit
	limit      read
}

// suite is a benchmark of a package.
type suite struct {
	pkg, pattern, time, quickTime string
	figures                       []figure
}

// packages are the figures that benchmarks beside the packages measure.
func (b *bench) packages() []part {
	var parts []part
	for _, s := range suites() {
		var names []string
		for _, f := range s.figures {
			names = append(names, f.name)
		}
		parts = append(parts, part{names, func(ctx context.Context) error { return b.suite(ctx, s) }})
	}
	return parts
}

func suites() []suite {
	stores := suite{pkg: "./shared/store/pebblestore", pattern: "^BenchmarkCommit$", time: "1s", quickTime: "200ms"}
	surreal := suite{pkg: "./shared/store/surrealstore", pattern: "^BenchmarkCommit$", time: "2s", quickTime: "300ms"}
	audit := suite{pkg: "./shared/store/pebblestore", pattern: "^BenchmarkRecord$", time: "1s", quickTime: "200ms"}
	decide := suite{pkg: "./shared/authz", pattern: "^BenchmarkDecide$/^policies=[0-9]+$/^(maps|allow-create|deny)$", time: "300ms",
		quickTime: "50ms"}
	for _, n := range []string{"1", "16", "256"} {
		raw := read{"Commit/pebble-" + n, "raw-commits/s"}
		stores.figures = append(stores.figures,
			figure{"store_pebble_" + n, "commits/s", read{"Commit/pebble-" + n, "commits/s"}, "raw_log", raw},
			figure{"store_memory_" + n, "commits/s", read{"Commit/memory-" + n, "commits/s"}, "raw_log", raw})
		surreal.figures = append(surreal.figures, figure{"store_surreal_" + n, "records/s", read{"Commit/callers=" + n, "records/s"},
			"bare_inserts", read{"Commit/callers=" + n, "bare-records/s"}})
		if n != "16" {
			audit.figures = append(audit.figures, figure{"audit_append_" + n, "entries/s", read{"Record/callers=" + n, "entries/s"},
				"raw_log", read{"Record/callers=" + n, "raw-entries/s"}})
		}
	}
	for _, n := range []string{"10", "1000", "10000"} {
		for _, kind := range []string{"allow-create", "deny"} {
			decide.figures = append(decide.figures, figure{"decide_" + strings.TrimSuffix(kind, "-create") + "_" + n, "ns",
				read{"Decide/policies=" + n + "/" + kind, "ns/op"}, "maps", read{"Decide/policies=" + n + "/maps", "ns/op"}})
		}
	}
	ed25519 := read{"Verify/limit=ed25519", "ns/op"}
	return []suite{stores, surreal, audit, decide,
		{pkg: "./shared/token", pattern: "^BenchmarkVerify$", time: "500ms", quickTime: "100ms", figures: []figure{
			{"token_first", "ns", read{"Verify/first", "ns/op"}, "ed25519", ed25519},
			{"token_again", "ns", read{"Verify/again", "ns/op"}, "ed25519", ed25519},
		}},
		{pkg: "./shared/watch", pattern: "^BenchmarkFanOut$", time: "3x", quickTime: "1x", figures: []figure{
			{"events_1000_single", "deliveries/s", read{"FanOut/ours/single", "deliveries/s"}, "gorilla_hub",
				read{"FanOut/bare/single", "deliveries/s"}},
			{"events_1000_stream", "deliveries/s", read{"FanOut/ours/stream", "deliveries/s"}, "gorilla_hub",
				read{"FanOut/bare/stream", "deliveries/s"}},
		}},
	}
}

// suite runs a benchmark and prints its figures.
func (b *bench) suite(ctx context.Context, s suite) error {
	got, err := b.gobench(ctx, s.pkg, s.pattern, s.time, s.quickTime)
	if err != nil {
		return err
	}
	for _, f := range s.figures {
		v, err := got.of(f.value)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		limit := 0.0
		if f.limitName != "" {
			if limit, err = got.of(f.limit); err != nil {
				return fmt.Errorf("limit of %s: %w", f.name, err)
			}
		}
		if err := b.print(value{f.name, v, f.unit}, value{f.limitName, limit, ""}); err != nil {
			return err
		}
	}
	return nil
}

// values are what the benchmarks of a package printed.
type values map[read]float64

// of returns one value; a benchmark that was renamed or did not run has none.
func (v values) of(r read) (float64, error) {
	got, ok := v[r]
	if !ok {
		return 0, fmt.Errorf("the benchmark %s printed no %s", r.benchmark, r.unit)
	}
	return got, nil
}

// gobench runs the benchmarks of a package and returns all their values.
func (b *bench) gobench(ctx context.Context, pkg, pattern, time, quickTime string) (values, error) {
	if b.quick {
		time = quickTime
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", pattern, "-benchtime", time, "-cpu", strconv.Itoa(processors()),
		pkg)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%v: %w:\n%s", cmd.Args, err, out)
	}
	return parse(out)
}

// processors is GOMAXPROCS of what is measured in go test: as many as the services give themselves
// (shared/process), for a limit is one only under the same conditions.
func processors() int { return runtime.GOMAXPROCS(0) + 1 }

// parse reads the output of `go test -bench`.
func parse(out []byte) (values, error) {
	cpus := "-" + strconv.Itoa(processors()) // go test adds it to names
	got := values{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		name := strings.TrimSuffix(strings.TrimPrefix(words[0], "Benchmark"), cpus)
		for i := 2; i+1 < len(words); i += 2 { // name, iterations, then value and unit, again and again
			v, err := strconv.ParseFloat(words[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			got[read{name, words[i+1]}] = v
		}
	}
	return got, nil
}
