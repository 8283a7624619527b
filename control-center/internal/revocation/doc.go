// Package revocation owns the gapless stream of what is no longer to be trusted: sessions, users below
// a version, signing keys, single tokens. The orchestrator follows it by long poll; at home it is
// applied to memory before the change that caused it returns.
//
// It does not decide what to revoke. The one rule a caller must know: change and revocation are one
// commit, so whoever revokes changes the store through Log.Update.
package revocation
