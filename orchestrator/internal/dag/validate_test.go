package dag_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

func op(id string, deps ...string) dag.Node {
	return dag.Node{ID: id, Dependencies: deps, Operation: dag.Operation{Type: "servers", Verb: "create"}}
}

func ring(n int) []dag.Node {
	nodes := make([]dag.Node, n)
	for i := range nodes {
		nodes[i] = op(fmt.Sprintf("n%d", i), fmt.Sprintf("n%d", (i+1)%n))
	}
	return nodes
}

func TestValidate_reportsEveryFaultAtItsPlace(t *testing.T) {
	t.Parallel()
	servers := func(names ...string) dag.Node {
		n := dag.Node{ID: "s", Operation: dag.Operation{Type: "server_batch"}}
		for _, name := range names {
			n.Operation.Servers = append(n.Operation.Servers, dag.ServerConfig{Name: name})
		}
		return n
	}
	cases := []struct {
		name  string
		nodes []dag.Node
		want  []string // pointer and a part of the message
	}{
		{"good", []dag.Node{op("a"), op("b", "a"), op("c", "a", "b")}, nil},
		{"no operations", nil, []string{"/operations: at least one"}},
		{"unknown dependency", []dag.Node{op("a", "ghost")}, []string{`/operations/0/dependencies/0: "ghost"`}},
		{"itself", []dag.Node{op("a", "a")}, []string{"/operations/0/dependencies/0: itself"}},
		{"duplicate dependency", []dag.Node{op("a"), op("b", "a", "a")}, []string{"/operations/1/dependencies/1: twice"}},
		{"duplicate id", []dag.Node{op("a"), op("a")}, []string{"/operations/1/id: same id"}},
		{"empty id", []dag.Node{op("")}, []string{"/operations/0/id: needed"}},
		{"id outside the alphabet", []dag.Node{op("a\u212b"), op("-a"), op("..")},
			[]string{"/operations/0/id: letter or a digit", "/operations/1/id: letter or a digit", "/operations/2/id: letter or a digit"}},
		{"cycle of two", ring(2), []string{`/operations/0/dependencies: "n0" -> "n1" -> "n0"`}},
		{"cycle of fifty", ring(50), []string{"/operations/0/dependencies: 30 more"}},
		{"two cycles", append(ring(3), op("x", "y"), op("y", "x")),
			[]string{"/operations/0/dependencies: cycle of 3", "/operations/3/dependencies: cycle of 2"}},
		{"behind a cycle", append([]dag.Node{op("tail", "n0")}, ring(2)...), []string{"/operations/1/dependencies: cycle of 2"}},
		{"all at once", []dag.Node{op("a", "ghost"), {ID: "b", OnFailure: "explode"}, servers(), servers("x", "x", "")}, []string{
			"/operations/3/id: same id", "/operations/1/on_failure: explode", "/operations/1/type: needed",
			"/operations/2/server_configs: servers",
			"/operations/3/server_configs/2/name: needed", "/operations/3/server_configs/1: twice", "/operations/0/dependencies/0: ghost",
		}},
		{"unknown type", []dag.Node{{ID: "a", Operation: dag.Operation{Type: "rm"}}}, []string{"/operations/0/type: unknown"}},
		{"no task services", []dag.Node{{ID: "a", Operation: dag.Operation{Type: "taskserv_batch"}}},
			[]string{"/operations/0/taskservs: at least one"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			faults := dag.Validate(dag.Definition{Kind: dag.Batch, Name: "b", Nodes: c.nodes}, dag.Limits{})
			var got []string
			for _, f := range faults {
				got = append(got, f.Pointer+": "+f.Message)
			}
			for _, want := range c.want {
				pointer, part, _ := strings.Cut(want, ": ")
				if !slices.ContainsFunc(got,
					func(g string) bool { return strings.HasPrefix(g, pointer+": ") && strings.Contains(g, part) }) {
					t.Errorf("no %q in %q", want, got)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("%d faults, want %d: %q", len(got), len(c.want), got)
			}
		})
	}
}

func TestValidate_atMostTwentyFaults(t *testing.T) {
	t.Parallel()
	var nodes []dag.Node
	for i := range 500 {
		nodes = append(nodes, op(fmt.Sprint("n", i), "ghost", "spectre"))
	}
	if n := len(dag.Validate(dag.Definition{Kind: dag.Batch, Name: "b", Nodes: nodes}, dag.Limits{})); n != 20 {
		t.Errorf("%d faults", n)
	}
}

// TestValidate_hugeGraphs holds the bar's I07 and I08: a graph of 100,000 nodes is refused by the
// limit before it is looked at, and where the limit allows it, judged without recursion. It judges
// the work by the bytes that are allocated; a quadratic one would not end.
func TestValidate_hugeGraphs(t *testing.T) {
	const n = 100_000
	nodes := make([]dag.Node, n)
	for i := range nodes {
		nodes[i] = op(fmt.Sprint("n", i))
		for _, back := range []int{1, 7, 100} {
			if i >= back {
				nodes[i].Dependencies = append(nodes[i].Dependencies, fmt.Sprint("n", i-back))
			}
		}
	}
	d := dag.Definition{Kind: dag.Batch, Name: "b", Nodes: nodes}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if f := dag.Validate(d, dag.Limits{}); len(f) != 1 || f[0].Pointer != "/operations" {
		t.Errorf("faults %v", f)
	}
	runtime.ReadMemStats(&after)
	if made := after.TotalAlloc - before.TotalAlloc; made > 64<<10 {
		t.Errorf("the limit allocated %d bytes", made)
	}
	runtime.ReadMemStats(&before)
	if f := dag.Validate(d, dag.Limits{Operations: n}); f != nil {
		t.Errorf("faults %v", f)
	}
	runtime.ReadMemStats(&after)
	if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 256 {
		t.Errorf("%d MiB were allocated", mib)
	}
	if f := dag.Validate(dag.Definition{Kind: dag.Batch, Name: "b", Nodes: ring(n)}, dag.Limits{Operations: n}); len(f) != 1 ||
		!strings.Contains(f[0].Message, "cycle of 100000") {
		t.Errorf("faults %v", f)
	}
}
