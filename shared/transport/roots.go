package transport

import (
	"crypto/x509"
	"fmt"
	"os"
)

// Roots returns the authorities of this machine and those in a PEM file. Its error says what is
// wrong with the file.
func Roots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the file of authorities: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil { // a machine without authorities of its own
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return roots, nil
}
