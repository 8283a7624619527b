// Package auditlog owns the searchable index over the audit logs of both services: one row for each
// act, with origin, index and leaf hash, so that every row can be traced to the log it came from.
//
// It is a read model: it can be thrown away and filled again, proves nothing by itself, and owns
// neither the log (shared/audit) nor its proofs. The one rule a caller must know: rows arrive a
// moment after the act, and the same entry may be taken in twice without effect.
package auditlog
