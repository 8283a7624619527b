// Package seal encrypts secrets at rest under the key-encryption key of a data folder,
// DIR/keys/kek: TOTP seeds, token keys and refresh answers of the control-center, webhook secrets
// of both services.
//
// It does not decide who may read a secret. The one rule a caller must know: what was sealed for
// one kind, id and field opens at no other place.
package seal
