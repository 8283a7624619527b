// Package session owns sign-in, sessions and refresh tokens: it collects the facts of a login for the
// pure machine, commits what that says, and hands out access and refresh tokens that end together.
//
// It does not judge a login (login), check codes (mfa), hash passwords (user) or make tokens (tokens).
// The one rule a caller must know: an access token is only as good as its session; whoever ends a
// session does it here, so that document, revocation and audit entry are one commit.
package session
