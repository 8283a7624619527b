package operation

import (
	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// Program is what tasks show as their command. It is for people; nothing runs it.
const Program = "/usr/local/provisioning"

// Command returns the text that an operation is shown with as a command, in front of its arguments.
func Command(op dag.Operation) string {
	verb, what := act(op)
	return Program + " " + what + " " + verb
}

// Args returns the arguments that an operation is shown with.
func Args(op dag.Operation) []string {
	args := make([]string, 0, max(1, len(op.Servers), len(op.Taskservs))+4) // with the flags of a batch
	switch op.Type {
	case typeServers:
	case typeTaskserv:
		args = append(args, op.Taskserv)
	case typeCluster:
		args = append(args, op.ClusterType)
	case typeServerB:
		for i := range op.Servers {
			args = append(args, op.Servers[i].Name)
		}
	default:
		args = append(args, op.Taskservs...)
	}
	for _, flag := range [...]struct{ name, value string }{{"--infra", op.Infra}, {"--settings", op.Settings},
		{"--provider", op.Provider}} {
		if flag.value != "" {
			args = append(args, flag.name, flag.value)
		}
	}
	if op.CheckMode {
		args = append(args, "--check")
	}
	if op.Wait {
		args = append(args, "--wait")
	}
	return args
}

// Name returns what the task of a single operation is called.
func Name(op dag.Operation) string {
	verb, what := act(op)
	return verb + "_" + what
}

// act returns the words for what an operation does.
func act(op dag.Operation) (verb, what string) {
	verb, what = op.Verb, "taskserv"
	if verb == "" {
		verb = verbCreate
	}
	switch op.Type {
	case typeServers, typeServerB:
		what = "servers"
	case typeCluster:
		what = "cluster"
	}
	return verb, what
}

// Expand returns the steps of an operation whose steps follow from it alone: the servers of a
// server_batch. Task services do not, because their order and what else they need is in the
// recipes.
func Expand(op dag.Operation) ([]dag.Step, bool) {
	if op.Type != typeServerB {
		return nil, false
	}
	steps := make([]dag.Step, 0, len(op.Servers))
	for _, s := range op.Servers {
		steps = append(steps, serverStep(op, s.Name, s.Plan, s.Zone, op.Provider))
	}
	return steps, true
}

// Instant resolves at once what needs no reading; it is the engine's Instant.
func (x *Executor) Instant(a dag.Attempt) (dag.Result, bool) {
	if a.Kind != dag.Resolve {
		return dag.Result{}, false
	}
	steps, ok := Expand(*a.Operation)
	if !ok {
		return dag.Result{}, false
	}
	return dag.Result{Class: dag.OK, Steps: steps}, true
}

// The parameters of steps.
const (
	paramFor     = "for" // check: the action that it looks ahead to, or verbCheck to look at what is
	paramInfra   = "infra"
	paramPlan    = "plan"
	paramService = "taskserv"
	paramZone    = "zone"
)

func serverStep(op dag.Operation, name, plan, zone, provider string) dag.Step {
	s := dag.Step{Action: createServer, Name: name, Params: map[string]string{paramPlan: plan, paramZone: zone}, Provider: provider}
	if op.Verb == verbDelete {
		s.Action = deleteServer
	}
	return checked(op, s)
}

func serviceStep(op dag.Operation, service, server, provider string) dag.Step {
	s := dag.Step{Action: install, Name: service + " on " + server, Params: map[string]string{paramService: service}, Provider: provider,
		Target: server}
	if op.Infra != "" {
		s.Params[paramInfra] = op.Infra
	}
	if op.Verb == verbDelete {
		s.Action = remove
	}
	return checked(op, s)
}

// checked turns a step into a check when nothing is to be changed.
func checked(op dag.Operation, s dag.Step) dag.Step {
	switch {
	case op.Verb == verbCheck:
		s.Params[paramFor], s.Action = verbCheck, check
	case op.CheckMode:
		s.Params[paramFor], s.Action = s.Action, check
	}
	return s
}
