// Package policy owns the effective policies of a deployment: the built-in roles together with the
// stored policies, their version, the compiled form that decides at home, and the feed by which the
// orchestrator pulls them.
//
// It does not decide (authz does). The one rule a caller must know: a policy is compiled before it is
// stored, and swapped in before the change returns, so the next request is decided by it.
package policy
