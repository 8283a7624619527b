// Package login is the pure machine of sign-in: what the failures so far mean for the next try, and
// which verdict follows from the facts of one try (decision 22, reliability-bar 5.8).
//
// It owns the counters and the order of the checks. It owns no store, no clock and no cryptography:
// session collects the facts, calls Decide and commits what it says. The one rule a caller must know:
// collect every fact before calling Decide, whatever the earlier ones were, so that all refusals cost
// the same time.
package login
