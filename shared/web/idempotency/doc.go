// Package idempotency makes a repeated request return the first answer instead of acting again
// (decisions 17 and 50): 24 hours long, per caller, operation and key.
//
// It owns the records of keys, the runs under a key in this process, and the sweep of records that
// expired. It knows no HTTP: what an answer says and which refusals are answers is the caller's
// business. A store has one writer (decision 43), so a key that runs is a matter of this process's
// memory, and the store holds only how a run ended. The one rule a caller must know: the commit of
// the work carries Settlement, so that work and key are one commit. A run that dies before its
// commit leaves nothing behind, one that dies after it is not run again under another id.
package idempotency
