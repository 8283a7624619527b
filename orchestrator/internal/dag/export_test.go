package dag

// OnTransition has f told of every transition of the run, its tasks and its steps.
func (r *Run) OnTransition(f func(m Machine, from, to State)) { r.onTransition = f }
