// Package login decides sign-in attempts as a pure function: what earlier failures mean for the
// next attempt, and which decision follows from the facts of one attempt (decision 22,
// reliability-bar 5.8).
//
// It owns the counters and the order of the checks, and no store, no clock and no cryptography:
// package session collects the facts, calls Decide and commits the decision. The one rule a caller
// must know: every fact is collected before Decide is called, whatever the earlier ones were, so
// that all refusals cost the same time.
package login
