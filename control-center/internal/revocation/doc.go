// Package revocation owns the gapless stream of revocations: of sessions, of accounts below a
// version, of signing keys and of single tokens. The orchestrator follows it by long poll; the
// control-center's own image in memory (token.Revocations) has a revocation before the change that
// caused it returns.
//
// It does not decide what to revoke. The one rule a caller must know: change and revocation are one
// commit, so whoever revokes gives the items to change.Act.Revoke.
package revocation
