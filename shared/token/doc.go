// Package token verifies the signed tokens of both programs, strictly, on the standard library
// alone: Ed25519 JWTs with exactly three header members, one spelling and known keys
// (reliability-bar 5.4). It owns the claims, the public key set with its JWKS form, the revocation
// state that both programs check, and the function that signs. API tokens, which are opaque, have
// their form and their claims here; who knows them by their hash is each program's business.
//
// It holds no private key: Sign works with a crypto.Signer that the caller keeps. It makes no
// network or file access: keys come from a KeySource in memory.
//
// The one rule a caller must know: the fault's code says why a token was refused and is for the
// audit log; the outside sees only the message, which is the same for every reason.
package token
