// Package dag is the pure core of the orchestrator: what a run is, what can happen to it, and what
// is due next. It uses no store, no clock, no logger and no random numbers: the caller passes the
// time, and jitter is a hash.
//
// It owns the definition and its validation, the stored form of runs and tasks, Apply (the only
// function that changes a run), Pending (what is due by the state) and the rules of retry, cancel
// and rollback. It runs nothing: the engine hands attempts to an executor and applies their results
// as Done. What a function returns belongs to the caller; no later call changes it.
//
// The one rule: the caller stores what Take returns in one commit, and only then acts on what
// Pending returns. When the commit fails, it drops the Run and loads it again.
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
// Legal holds the same table. A test compares both, and another fails when random runs never take
// one of its edges.
package dag
