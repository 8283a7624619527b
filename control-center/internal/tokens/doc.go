// Package tokens makes the access tokens of people and knows the services that may call this one: which
// claims a token carries, how long it lives, and the public keys of service credentials.
//
// It does not verify (shared/token does), hold private keys (keys does) or know sessions (session
// does). The one rule a caller must know: Mint decides nothing; whoever calls it has checked the
// account.
package tokens
