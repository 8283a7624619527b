package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/instant"
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
	mode     fs.FileMode
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

// next reads a pair that is to replace the one in use. One that no client takes now is refused as
// long as the one in use is taken: after its end either is as good.
func (p *Pair) next(now time.Time) (*tls.Certificate, error) {
	c, err := p.read()
	switch {
	case err != nil:
		return nil, err
	case now.After(p.Expires()):
	case now.After(c.Leaf.NotAfter):
		return nil, fmt.Errorf("tls.cert: %s holds a certificate that ran out at %s", p.cert, instant.Format(c.Leaf.NotAfter))
	case now.Before(c.Leaf.NotBefore):
		return nil, fmt.Errorf("tls.cert: %s holds a certificate that is not good before %s; it is used then", p.cert,
			instant.Format(c.Leaf.NotBefore))
	}
	return c, nil
}

func (p *Pair) look() (now [2]fileState) {
	for i, path := range []string{p.cert, p.key} {
		if info, err := os.Stat(path); err == nil {
			now[i] = fileState{modified: info.ModTime(), size: info.Size(), mode: info.Mode(), inode: inode(info)}
		}
	}
	return now
}

// Run reads the pair again whenever its files have changed, until ctx ends; then it returns nil. A
// new pair that cannot be used leaves the old one in use and is logged once; each look tries it
// again, for what was wrong may be no file's (no descriptor was free), or not be seen in them. It
// waits until the files stay as they are for a second, so that it does not read one of two that are
// being replaced.
func (p *Pair) Run(ctx context.Context, log *slog.Logger) error {
	failed := ""
	for before := p.seen; clock.Pause(ctx, lookEvery, nil); {
		now := p.look()
		settled := now == before
		before = now
		if now == p.seen && failed == "" || !settled {
			continue
		}
		changed := now != p.seen
		p.seen = now
		c, err := p.next(time.Now())
		if err != nil {
			if changed || err.Error() != failed {
				log.WarnContext(ctx, "the new certificate cannot be used; the old one stays in use", slog.Any("error", err),
					slog.Time("old_expires", p.Expires()))
			}
			failed = err.Error()
			continue
		}
		failed = ""
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
