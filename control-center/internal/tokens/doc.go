// Package tokens makes the access tokens of people, with their claims and lifetime, and holds the
// public keys of the services that may call the control-center.
//
// It does not verify tokens (shared/token), hold private keys (keys) or own sessions (session). The
// one rule a caller must know: Mint decides nothing; who calls it has checked the account.
package tokens
