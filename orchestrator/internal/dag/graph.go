package dag

import (
	"fmt"
	"strings"
)

// maxEdges bounds the dependencies of a batch, so that its tasks fit into one commit.
const maxEdges = 100_000

// edges resolves all dependencies. There are at most as many as most.
func (v *validation) edges(most int) {
	v.deps = make([][]int, len(v.nodes))
	all, seen := make([]int, 0, most), make([]int, len(v.nodes)) // seen[d]: 1 + the last node that named d
	for i := range v.nodes {
		start := len(all)
		for k, dep := range v.nodes[i].Dependencies {
			d, known := v.index[dep]
			if known && d != i && seen[d] != i+1 {
				all = append(all, d)
				seen[d] = i + 1
				v.backward = v.backward || d > i
				continue
			}
			pointer := at(i, fmt.Sprintf("dependencies/%d", k))
			switch {
			case !known:
				v.report(pointer, "operation %s depends on %s, which is not in this batch", short(v.nodes[i].ID), short(dep))
			case d == i:
				v.report(pointer, "operation %s depends on itself", short(dep))
			default:
				v.report(pointer, "operation %s names the dependency %s twice", short(v.nodes[i].ID), short(dep))
			}
		}
		v.deps[i] = all[start:]
	}
}

// cycles reports each cycle that it finds, with its nodes. Nodes without open dependencies are
// taken away until none is left; each remaining node lies on a cycle or behind one, so walking up
// its dependencies must meet one.
func (v *validation) cycles() {
	n := len(v.nodes)
	open := make([]int, n)
	dependents := make([][]int, n)
	var free []int
	for i := range v.deps {
		open[i] = len(v.deps[i])
		for _, d := range v.deps[i] {
			dependents[d] = append(dependents[d], i)
		}
		if open[i] == 0 {
			free = append(free, i)
		}
	}
	for len(free) > 0 {
		i := free[len(free)-1]
		free = free[:len(free)-1]
		for _, d := range dependents[i] {
			if open[d]--; open[d] == 0 {
				free = append(free, d)
			}
		}
	}
	walk := make([]int, n) // number of the walk that visited a node
	for start := range v.nodes {
		if open[start] == 0 || walk[start] != 0 || len(v.faults) >= maxFaults {
			continue
		}
		var path []int
		i := start
		for walk[i] == 0 {
			walk[i] = start + 1
			path = append(path, i)
			for _, d := range v.deps[i] {
				if open[d] > 0 {
					i = d
					break
				}
			}
		}
		if walk[i] == start+1 { // else it met a cycle that is reported already
			v.cycle(path, i)
		}
	}
}

func (v *validation) cycle(path []int, first int) {
	for path[0] != first {
		path = path[1:]
	}
	var names []string
	for _, i := range path[:min(len(path), maxFaults)] {
		names = append(names, short(v.nodes[i].ID))
	}
	text := strings.Join(names, " -> ")
	if more := len(path) - len(names); more > 0 {
		text += fmt.Sprintf(" -> … %d more …", more)
	}
	v.report(at(first, "dependencies"), "a cycle of %d operations, each depending on the next: %s -> %s", len(path), text, names[0])
}
