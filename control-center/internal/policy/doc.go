// Package policy owns the effective policies of a deployment: the built-in roles and the stored
// policies together, their version, the compiled set that the control-center decides by, and the
// feed that the orchestrator follows.
//
// It does not decide (authz does). The one rule a caller must know: a policy is compiled before it
// is stored, and is in force in this process when the change returns, so the next request is
// decided by it.
package policy
