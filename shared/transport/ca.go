package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"time"
)

// CA issues certificates under a key of its own.
type CA struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewCA makes an authority that signs itself.
func NewCA(name string, from, until time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageCertSign,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	return &CA{Certificate: c, key: key}, err
}

// Encode returns the authority as PEM: its certificate, then its private key.
func (a *CA) Encode() ([]byte, error) {
	key, err := EncodeKey(a.key)
	return append(EncodeCertificate(a.Certificate.Raw), key...), err
}

// DecodeCA reads what Encode wrote.
func DecodeCA(text []byte) (*CA, error) {
	certificate, rest := pem.Decode(text)
	if certificate == nil {
		return nil, errors.New("no certificate in PEM")
	}
	c, err := x509.ParseCertificate(certificate.Bytes)
	if err != nil {
		return nil, err
	}
	key, err := DecodeKey(rest)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(c.PublicKey) {
		return nil, errors.New("the key is not the certificate's")
	}
	return &CA{Certificate: c, key: key}, nil
}

// Holder is whom Issue certifies, as what and until when.
type Holder struct {
	Names       []string // DNS names and addresses
	Usage       x509.ExtKeyUsage
	From, Until time.Time
}

// Issue certifies a public key and returns the certificate in DER.
func (a *CA) Issue(public any, s Holder) ([]byte, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: s.Names[0]}, NotBefore: s.From, NotAfter: s.Until, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{s.Usage},
	}
	for _, name := range s.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return x509.CreateCertificate(rand.Reader, template, a.Certificate, public, a.key)
}

// NewKey makes a private key for a certificate.
func NewKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// EncodeKey returns a private key as PEM.
func EncodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// DecodeKey reads what EncodeKey wrote.
func DecodeKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no private key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	own, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a private key of type %T", key)
	}
	return own, nil
}

// EncodeCertificate returns a certificate in DER as PEM.
func EncodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
