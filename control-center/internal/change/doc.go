// Package change commits what changes in the control-center: documents, the events that tell of
// them, what they revoke and one audit entry, all in one commit (laws 1 and 7 of the architecture).
//
// It owns the stream of events: their types, their envelope and how long they are kept. It decides
// nothing about accounts, sessions, keys or policies; their packages say in an Act what happened.
// The one rule a caller must know: product code of the control-center changes its store through
// Committer.Commit only, and a change that emits no event is refused.
package change
