// Package serviceaccount owns service accounts: accounts for machines, with roles and a person who
// answers for them, without a password, a factor or a session (decision 53). One acts by API tokens
// only.
//
// It does not own the tokens (apitoken) nor people (user). The one rule a caller must know:
// policies and the audit log know a service account by token.ServiceAccountName, which no person
// can be called.
package serviceaccount
