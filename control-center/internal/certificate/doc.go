// Package certificate owns the certificate authority of the service-to-service port: its keys in
// DIR/keys/peer, the certificate that the port shows, and those that orchestrators prove themselves
// with (decision 59).
//
// It opens no port and knows no route. The one rule a caller must know: a certificate that ran out
// lets nobody in but for its own renewal, which Admit says for each request.
package certificate
