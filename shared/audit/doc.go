// Package audit is the tamper-evident record of both programs: the entry, the Merkle tree over the
// stream "audit", the signed tree head, the witness between the two services, proofs, and the
// offline verifier.
//
// It owns what an entry is, the keys that sign heads, and the folders DIR/audit and DIR/keys/audit.
// It does not own the stream (that is the store's), HTTP, or the search index. The one rule a
// caller must know: whatever changes a store goes through Update, so that change and entry are one
// commit; the engine, which commits by itself, appends Entry.Encode's bytes to the same commit.
//
// Words: a leaf is an entry's bytes, its index is its sequence minus one; a treehead is a signed
// statement of size and root (a C2SP checkpoint; in this project "checkpoint" is the rollback cut);
// a cosignature is the other service's statement that it saw that head and nothing contradicting
// it.
package audit
