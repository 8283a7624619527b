// Package apitoken owns API tokens: their documents, the stream in which the orchestrator follows
// them, and the check of one that is presented (decision 53). A token acts for its owner, a
// person's account or a service account, within its scope and until it expires. Only its SHA-256 is
// stored.
//
// It knows accounts by their id: who may make a token, and what its owner is now, it asks through
// functions. The one rule a caller must know: whoever takes an account's rights away revokes its
// tokens in the same transaction, by RevokeAll.
package apitoken
