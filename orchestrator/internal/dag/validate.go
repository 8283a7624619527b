package dag

import (
	"fmt"
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/naming"
)

// maxFaults bounds the faults that Validate reports, and the names in one message.
const maxFaults = 20

// Limits bounds what is accepted.
type Limits struct {
	Operations int // 0 means DefaultOperations
}

// Validate returns the faults of a definition, at most 20, each with the JSON pointer that it has
// in the body of POST /batch/execute. It takes time in proportion to the graph and does not
// recurse. It refuses a definition above the limit without reading its operations.
func Validate(d Definition, l Limits) []fault.Field {
	v := &validation{nodes: d.Nodes}
	limit := orDefault(l.Operations, DefaultOperations)
	switch {
	case len(d.Nodes) == 0:
		v.report("/operations", "at least one operation is needed")
		return v.faults
	case len(d.Nodes) > limit:
		v.report("/operations", "%d operations; at most %d are accepted: split the batch", len(d.Nodes), limit)
		return v.faults
	}
	if d.Kind == Batch && strings.TrimSpace(d.Name) == "" {
		v.report("/name", "a name is needed")
	}
	if d.ParallelLimit < 0 {
		v.report("/parallel_limit", "must be at least 1")
	}
	v.ids(d.Kind == Batch)
	edges := 0
	for i := range d.Nodes {
		v.node(i)
		edges += len(d.Nodes[i].Dependencies)
	}
	if most := max(maxEdges, 4*limit); edges > most {
		v.report("/operations", "%d dependencies in all; at most %d are accepted", edges, most)
		return v.faults
	}
	v.edges(edges)
	if v.backward && !v.broken { // a cycle is only meaningful among known nodes
		v.cycles()
	}
	return v.faults
}

type validation struct {
	nodes    []Node
	index    map[string]int // ids; the first of two equal ones
	deps     [][]int
	faults   []fault.Field
	broken   bool
	backward bool // some node depends on a later one: without that there is no cycle
}

func (v *validation) report(pointer, message string, args ...any) {
	if len(v.faults) < maxFaults {
		v.faults = append(v.faults, fault.Field{Pointer: pointer, Message: fmt.Sprintf(message, args...)})
	}
}

func at(i int, member string) string { return fmt.Sprintf("/operations/%d/%s", i, member) }

// ids indexes the nodes. When the caller chose their ids, it reports bad ones.
func (v *validation) ids(chosen bool) {
	v.index = make(map[string]int, len(v.nodes))
	for i := range v.nodes {
		id := v.nodes[i].ID
		first, twice := v.index[id]
		if !twice {
			v.index[id] = i
		}
		switch {
		case !chosen:
			continue
		case id == "":
			v.report(at(i, "id"), "an id is needed")
		case !naming.Valid(id):
			v.report(at(i, "id"), "the id %s %s", short(id), naming.Rule)
		}
		if twice && id != "" {
			v.report(at(i, "id"), "operation %d has the same id, %s; ids are unique within a batch", first, short(id))
			v.broken = true
		}
	}
}

func (v *validation) node(i int) {
	n := &v.nodes[i]
	switch n.OnFailure {
	case "", OnFailureFail, OnFailureContinue, OnFailureRollback:
	default:
		v.report(at(i, "on_failure"), "%s is unknown; use fail, continue or rollback", short(n.OnFailure))
	}
	switch op := &n.Operation; op.Type {
	case "server_batch":
		v.servers(i, op.Servers)
	case "taskserv_batch":
		if len(op.Taskservs) == 0 {
			v.report(at(i, "taskservs"), "at least one task service is needed")
		}
		v.texts(i, "taskservs", op.Taskservs)
	case "servers", "taskserv", "cluster":
	case "":
		v.report(at(i, "type"), "a type is needed: server_batch or taskserv_batch")
	default:
		v.report(at(i, "type"), "%s is unknown; use server_batch or taskserv_batch", short(op.Type))
	}
}

func (v *validation) servers(i int, servers []ServerConfig) {
	if len(servers) == 0 || len(servers) > MaxSteps {
		v.report(at(i, "server_configs"), "%d servers; between 1 and %d are needed", len(servers), MaxSteps)
		return
	}
	names := make([]string, 0, len(servers))
	for k := range servers {
		names = append(names, servers[k].Name)
		if servers[k].Name == "" {
			v.report(at(i, fmt.Sprintf("server_configs/%d/name", k)), "a name is needed")
		}
	}
	v.texts(i, "server_configs", names)
}

// texts reports empty and repeated elements.
func (v *validation) texts(i int, member string, list []string) {
	if len(v.faults) >= maxFaults {
		return
	}
	seen := map[string]bool{} // on the stack while there are few
	for k, s := range list {
		switch {
		case s == "" && member != "server_configs":
			v.report(at(i, fmt.Sprintf("%s/%d", member, k)), "must not be empty")
		case seen[s] && s != "":
			v.report(at(i, fmt.Sprintf("%s/%d", member, k)), "%s is named twice", short(s))
		}
		seen[s] = true
	}
}

// short quotes a caller's text for a message.
func short(s string) string { return fmt.Sprintf("%q", naming.Clip(s, 64)) }
