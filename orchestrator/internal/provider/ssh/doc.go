// Package ssh is the transport to servers: a client that runs argument vectors and writes files, a
// server for the local driver, and the files an OpenSSH client needs. It is the only importer of
// x/crypto/ssh.
//
// It does not know providers' accounts, and it keeps no connection: the caller closes.
//
// The one rule: the wire carries one string (decision 15), and Quote is its only producer. What a
// server of ours gets is split by Split and started without a shell; what only a shell could
// understand is refused.
package ssh
