// Package user owns the accounts of people: their documents, the uniqueness of their names and
// e-mail addresses, their passwords and roles, and the rule that one usable administrator remains.
//
// It does not own what an account may do (authz), its one-time codes (mfa) or its sessions
// (session). The one rule a caller must know: a change of what a person may do calls Raise, which
// lifts the authorization version of the account, so that both services refuse its older tokens.
package user
