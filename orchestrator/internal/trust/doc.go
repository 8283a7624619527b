// Package trust is what the orchestrator knows from the control-center and decides with, by itself:
// the public keys of tokens, the revocations, the policy set, the subjects (what each account may
// be taken for now) and the API tokens by their hash. It follows them by long poll (keys and
// revocations are one stream, in order), keeps them in the orchestrator's own store, and so can
// start and serve while the control-center is down.
//
// It owns no HTTP: the calls are behind Source. It mints nothing and changes nobody's rights.
//
// The one rule a caller must know: a change needs AllowChanges as well as a good token and a
// policy. When the control-center was not heard for 5 s, a revocation may have been missed, and
// only reads go on.
package trust
