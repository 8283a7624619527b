package main

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"testing"
)

func TestPrint_whatWasNotMeasuredIsAnError(t *testing.T) {
	b := &bench{only: regexp.MustCompile("")}
	for _, c := range []struct {
		figure, limit value
		ok            bool
	}{
		{value{"a", 1, "ns"}, value{"limit", 2, ""}, true}, {value{"a", 1, "MiB"}, value{}, true},
		{value{"a", 1, "ns"}, value{"limit", 0, ""}, false}, {value{"a", 0, "ns"}, value{"limit", 1, ""}, false},
		{value{"a", 0, "MiB"}, value{}, false},
		{value{"a", math.NaN(), "ns"}, value{"limit", 1, ""}, false}, {value{"a", math.Inf(1), "ns"}, value{"limit", 1, ""}, false},
	} {
		if err := b.print(c.figure, c.limit); (err == nil) != c.ok {
			t.Errorf("%v beside %v: error %v, want one: %v", c.figure, c.limit, err, !c.ok)
		}
	}
}

func TestParse_aBenchmarkThatDidNotRunHasNoValue(t *testing.T) {
	got, err := parse(fmt.Appendf(nil, "goos: linux\nBenchmarkDag/chain/raw-%d  \t 10\t 120 ns/op\t 5000 tasks/s\nPASS\n", processors()))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := got.of(read{"Dag/chain/raw", "tasks/s"}); v != 5000 || err != nil {
		t.Errorf("the value is %v (%v), want 5000", v, err)
	}
	if v, err := got.of(read{"Dag/chain/pebble", "tasks/s"}); err == nil {
		t.Errorf("a benchmark that printed nothing has the value %v, want an error", v)
	}
}

func TestServices_everyFigureCanBeAskedFor(t *testing.T) {
	names := (&bench{}).services()[0].names
	for _, want := range []string{"http_get_tasks", "dag_chain", "dag_chain_beside_pebble", "dag_fan_beside_raw", "dag_many_cpu",
		"dag_layered_rss", "dag_many_p99", "dag_many_1ms"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among the names %v", want, names)
		}
	}
}
