// Package bootstrap owns the beginning of a deployment: what `control-center init` writes into the
// data folder, and the one import of it into an empty store (decision 1).
//
// It does not run the service. The one rule a caller must know: an empty store takes the first
// administrator from a bootstrap file only when that was never used, so whoever wipes a database
// gets no account.
package bootstrap
