package operation

import "github.com/provisioning-platform/platform/orchestrator/internal/dag"

// resolveCluster resolves to the parts: the servers that the cluster stands on, and its task
// services. Deleting it takes the task services away; the servers belong to the infra and stay.
func (x *Executor) resolveCluster(op dag.Operation) (dag.Result, error) {
	in, err := x.Infra.Load(op.Infra, op.Settings)
	if err != nil {
		return dag.Result{}, err
	}
	cluster, servers, err := in.Cluster(op.ClusterType)
	if err != nil {
		return dag.Result{}, err
	}
	targets := map[string][]string{}
	for _, n := range cluster.Taskservs {
		for _, s := range servers {
			targets[n] = append(targets[n], s.Name)
		}
	}
	res, err := x.serviceSteps(op, cluster.Taskservs, targets)
	if err != nil {
		return dag.Result{}, err
	}
	for i := range res.Steps {
		res.Steps[i].Provider = providerOf(servers, res.Steps[i].Target)
	}
	if op.Verb == verbDelete {
		return res, nil
	}
	var steps []dag.Step
	for _, s := range servers {
		steps = append(steps, serverStep(op, s.Name, s.Plan, s.Zone, s.Provider))
	}
	res.Steps = append(steps, res.Steps...)
	return res, nil
}
