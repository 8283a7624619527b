// Package dag is the pure core of the orchestrator: what a run is, what can happen to it, and what
// is due next. It knows no store, no clock, no logger and no dice; time comes in as a parameter and
// jitter is a hash.
//
// It owns the definition and its validation, the stored shape of runs and tasks, Apply (the only
// function that changes a run), Pending (what is due by the state) and the rules of retry, cancel
// and rollback. It does not run anything: attempts go through the engine to an executor and come
// back as Done.
//
// The one rule: what Take returns is one commit, and it is committed before what Pending lists is
// acted on. A Run whose change could not be committed is dropped and loaded again.
//
// # Transitions
//
// A task:
//
//	waiting         -> queued | cancelled | skipped
//	queued          -> running | cancelled
//	running         -> retrying | cancelling | needs_attention | succeeded | failed
//	retrying        -> running | cancelling | needs_attention
//	needs_attention -> running | cancelling
//	cancelling      -> cancelled | succeeded | failed
//	succeeded       -> undone
//
// A run:
//
//	queued          -> running | cancelling
//	running         -> succeeded | failed | cancelling | cancelled | undoing
//	cancelling      -> cancelled
//	undoing         -> failed
//
// A step:
//
//	waiting         -> running | cancelled
//	running         -> retrying | succeeded | failed | cancelling | needs_attention
//	retrying        -> running | cancelling | cancelled
//	cancelling      -> succeeded | failed | cancelled
//	needs_attention -> running | cancelled
//	succeeded, failed, cancelled -> undoing
//	undoing         -> undone | succeeded
//
// The golden file testdata/transitions.golden is generated from Legal; a test compares this table
// with it.
package dag
