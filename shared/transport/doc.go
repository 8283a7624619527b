// Package transport holds what TLS needs on either side: the certificate of a listener, read anew
// when its files change, and the authorities that a client believes. It owns no listener (process),
// no authority of a deployment (the control-center's) and no route.
//
// The one rule a caller must know: LoadPair reads a Pair once and Run follows its files; without
// Run it stays what it was.
package transport
