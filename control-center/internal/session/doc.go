// Package session owns sign-in attempts, sessions and refresh tokens. For a sign-in attempt it
// collects the facts, asks login.Decide and commits the decision; a granted one begins a session,
// whose access and refresh tokens end together.
//
// It does not decide an attempt (login), check codes (mfa), hash passwords (user) or make access
// tokens (tokens). The one rule a caller must know: an access token is only as good as its session,
// and only this package ends a session, so that document, event, revocation and audit entry are one
// commit.
package session
