// Package user owns the accounts of people: their documents, the uniqueness of names and e-mail
// addresses, their passwords, their roles, and the rule that at least one usable admin remains.
//
// It does not own what an account can do (authz), its one-time codes (mfa) or its sessions (session).
// The one rule a caller must know: every change that affects what a person may do goes through Raise,
// which lifts the authorization version, so that older tokens die everywhere.
package user
