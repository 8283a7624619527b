// Package mfa owns one-time-code factors: TOTP secrets (sealed), the last accepted step, recovery codes
// (hashed, single use) and the count of wrong codes. It is the only importer of the otp library, which
// trims blanks and remembers nothing; both is done here.
//
// It does not decide a login (login does) nor own accounts (user). The one rule a caller must know: a
// code is spent by saving the factor that Check returned, in the transaction that grants what the code
// was for.
package mfa
