package api

import (
	"fmt"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// TestBatch_targetsAreFoundInBoundedTime searches the servers below task services in graphs made to
// be slow.
func TestBatch_targetsAreFoundInBoundedTime(t *testing.T) {
	t.Parallel()
	chain := batchIn{}
	for i := range 60_000 {
		op := operationIn{ID: fmt.Sprint(i), Type: "taskserv_batch"}
		if i > 0 {
			op.Dependencies = []string{fmt.Sprint(i - 1)}
		}
		chain.Operations = append(chain.Operations, op)
	}
	wide := batchIn{}
	for i := range 300 {
		op := operationIn{ID: fmt.Sprint(i), Type: "server_batch"}
		for k := range 250 {
			op.ServerConfigs = append(op.ServerConfigs, serverIn{Name: fmt.Sprintf("s-%d-%d", i, k)})
		}
		wide.Operations = append(wide.Operations, op)
	}
	all := make([]string, 300)
	for i := range all {
		all[i] = fmt.Sprint(i)
	}
	for i := range 100 {
		wide.Operations = append(wide.Operations, operationIn{ID: fmt.Sprintf("k%d", i), Type: "taskserv_batch", Dependencies: all})
	}
	for name, in := range map[string]batchIn{"chain": chain, "wide": wide} {
		begin := time.Now()
		d := in.definition()
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
		if n := len(d.Nodes[len(d.Nodes)-1].Operation.Targets); n > dag.MaxSteps+250 {
			t.Errorf("%s: %d targets", name, n)
		}
	}
}

func TestBatch_targetsAreTheServersBelow(t *testing.T) {
	t.Parallel()
	in := batchIn{Operations: []operationIn{
		{ID: "a", Type: "server_batch", ServerConfigs: []serverIn{{Name: "a1"}, {Name: "a2"}}},
		{ID: "b", Type: "server_batch", Dependencies: []string{"a"}, ServerConfigs: []serverIn{{Name: "a2"}, {Name: "b1"}}},
		{ID: "k", Type: "taskserv_batch", Dependencies: []string{"b", "ghost", "k"}},
		{ID: "x", Type: "server_batch", ServerConfigs: []serverIn{{Name: "x1"}}},
	}}
	if got := fmt.Sprint(in.definition().Nodes[2].Operation.Targets); got != "[a2 b1 a1]" {
		t.Errorf("targets %s", got)
	}
}

// TestResults_showWhatIsThere leaves out what an operation removed, and takes names as they are.
func TestResults_showWhatIsThere(t *testing.T) {
	t.Parallel()
	v, err := (&API{}).results(t.Context(), &dag.Task{Steps: []dag.StepState{
		{Applied: true, Step: dag.Step{Action: "taskserv.install", Name: "os on a on b", Target: "a on b"}},
		{Applied: true, Step: dag.Step{Action: "taskserv.remove", Name: "dns on a", Target: "a"}},
		{Applied: true, Step: dag.Step{Action: "server.delete", Name: "a"}},
		{Step: dag.Step{Action: "taskserv.install", Name: "dns on b", Target: "b"}},
	}})
	if err != nil || len(v.Servers) != 0 || len(v.Taskservs) != 1 || v.Taskservs[0] != (taskservView{Name: "os", Server: "a on b"}) {
		t.Errorf("results %+v, %v", v, err)
	}
}
