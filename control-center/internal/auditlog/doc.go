// Package auditlog owns the searchable index over the audit logs of both services: one row for each
// act, with origin, index and leaf hash, so that every row can be traced to the log it came from.
//
// It is a read model, which can be dropped and filled again. It proves nothing by itself, and owns
// neither the log (shared/audit) nor its proofs. The one rule a caller must know: a row comes a
// moment after its act, and an entry may be added twice without effect.
package auditlog
