// Package bootstrap owns the beginning of a deployment: what `control-center init` writes into the
// data folder, and the one import of it into an empty store (decision 1).
//
// It does not run the service. The one rule a caller must know: an empty store accepts the first
// administrator only from a bootstrap file that was never used, so wiping a database revives
// nobody.
package bootstrap
