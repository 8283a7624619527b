package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/obs"
)

// lookEvery is how often Run looks at the files of a pair.
const lookEvery = time.Second

// Pair is a certificate with its key, as two files hold them.
type Pair struct {
	cert, key string
	loaded    atomic.Pointer[tls.Certificate]
	seen      [2]fileState // of the files that loaded was read from; Run's
}

// fileState is by what a changed file is recognised.
type fileState struct {
	modified time.Time
	size     int64
	inode    any
}

// LoadPair reads a certificate and its key. Its error says which file is wrong and why.
func LoadPair(cert, key string) (*Pair, error) {
	p := &Pair{cert: cert, key: key}
	p.seen = p.look()
	c, err := p.read()
	if err != nil {
		return nil, err
	}
	p.loaded.Store(c)
	return p, nil
}

func (p *Pair) read() (*tls.Certificate, error) {
	if info, err := os.Stat(p.key); err != nil {
		return nil, fmt.Errorf("tls.key: %w", err)
	} else if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("tls.key: everybody on this machine can read %s; run: chmod o= %s", p.key, p.key)
	}
	if _, err := os.Stat(p.cert); err != nil {
		return nil, fmt.Errorf("tls.cert: %w", err)
	}
	c, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("tls.cert %s and tls.key %s are no pair: %w", p.cert, p.key, err)
	}
	return &c, nil
}

func (p *Pair) look() (now [2]fileState) {
	for i, path := range []string{p.cert, p.key} {
		if info, err := os.Stat(path); err == nil {
			now[i] = fileState{modified: info.ModTime(), size: info.Size(), inode: inode(info)}
		}
	}
	return now
}

// Run reads the pair again whenever its files have changed, until ctx ends; then it returns nil. A
// new pair that cannot be used leaves the old one in use and is logged once. It waits until the
// files stay as they are for a second, so that it does not read one of two that are being replaced.
func (p *Pair) Run(ctx context.Context, log *slog.Logger) error {
	for before := p.seen; clock.Pause(ctx, lookEvery, nil); {
		now := p.look()
		settled := now == before
		before = now
		if now == p.seen || !settled {
			continue
		}
		p.seen = now
		c, err := p.read()
		if err != nil {
			log.WarnContext(ctx, "the new certificate cannot be used; the old one stays in use", slog.Any("error", err),
				slog.Time("old_expires", p.Expires()))
			continue
		}
		p.loaded.Store(c)
		log.InfoContext(ctx, "new certificate in use", slog.String("file", p.cert), slog.Time("expires", p.Expires()))
	}
	return nil
}

// Expires returns when the certificate that is in use ends.
func (p *Pair) Expires() time.Time { return p.loaded.Load().Leaf.NotAfter }

// Server returns the settings of a listener that shows the certificate in use: TLS 1.2 at least,
// 1.3 preferred, with the library's own choice of ciphers. HTTP/1.0 is named because a client that
// offers nothing else would find no protocol in common.
func (p *Pair) Server() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1", "http/1.0"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.loaded.Load(), nil },
	}
}

// Meter adds the gauge NAME_certificate_expires_seconds for one certificate: the time until it
// ends, negative afterwards.
func Meter(r *obs.Registry, name, certificate string, now func() time.Time, expires func() time.Time) {
	r.GaugeFuncOf(name+"_certificate_expires_seconds", "Seconds until a certificate in use expires.", "certificate", certificate,
		func() float64 { return expires().Sub(now()).Seconds() })
}
