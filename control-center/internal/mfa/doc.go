// Package mfa owns one-time-code factors: sealed TOTP secrets, the steps whose codes were used,
// hashed recovery codes that are good once, and the count of wrong codes. It is the only importer
// of the otp library, which accepts blanks around a code and the same code twice; this package does
// not.
//
// It does not decide a sign-in attempt (login) nor own accounts (user). The one rule a caller must
// know: a code counts as used when the factor that Check returned is saved, in the transaction that
// grants what the code was for.
package mfa
