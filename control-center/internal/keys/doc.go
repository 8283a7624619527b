// Package keys owns the Ed25519 keys that sign tokens, with their life (next, current, retiring,
// gone), rotation with overlap and emergency removal. Package seal encrypts them at rest.
//
// It does not build tokens (tokens does) nor verify them (shared/token does). The one rule a caller
// must know: a private key never leaves this package; Ring.Sign signs.
package keys
