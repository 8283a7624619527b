package transport

import (
	"context"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/shared/config"
)

// writePair writes a fresh certificate of localhost, good for the day before until, as two files.
func writePair(t *testing.T, cert, key string, until time.Time) {
	t.Helper()
	from := until.Add(-24 * time.Hour)
	a, err := NewCA("test", from, until)
	if err != nil {
		t.Fatal(err)
	}
	own, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := a.Issue(own.Public(), Holder{Names: []string{"localhost"}, Usage: x509.ExtKeyUsageServerAuth, From: from, Until: until})
	if err != nil {
		t.Fatal(err)
	}
	text, err := EncodeKey(own)
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{cert: EncodeCertificate(der), key: text} {
		if err := os.WriteFile(path+".new", content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRun_newFilesAreUsedAndABrokenPairKeepsTheOld is S05: what is put in place of the files is in
// use within seconds, and what cannot be used is one line in the log.
func TestRun_newFilesAreUsedAndABrokenPairKeepsTheOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		first := time.Now().Add(time.Hour).Truncate(time.Second)
		writePair(t, cert, key, first)
		p, err := LoadPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		var log logText
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx, slog.New(slog.NewTextHandler(&log, nil))) }()
		wait := func() { <-time.After(4 * time.Second); synctest.Wait() }

		second := first.Add(time.Hour)
		writePair(t, cert, key, second)
		if wait(); !p.Expires().Equal(second) {
			t.Errorf("in use is what ends at %s, want %s", p.Expires(), second)
		}
		if err := os.WriteFile(cert, []byte("nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
		wait()
		wait()
		if n := strings.Count(log.String(), "level=WARN"); n != 1 || !p.Expires().Equal(second) {
			t.Errorf("%d warnings of one broken pair, in use is what ends at %s:\n%s", n, p.Expires(), log.String())
		}
		third := second.Add(time.Hour)
		writePair(t, cert, key, third)
		if wait(); !p.Expires().Equal(third) {
			t.Errorf("after the repair what ends at %s is in use", p.Expires())
		}
		if c, err := p.Server().GetCertificate(nil); err != nil || !c.Leaf.NotAfter.Equal(third) {
			t.Errorf("a client is shown %v %v", c, err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestRun_whatTheWarningAsksForIsEnough: a key that everybody could read is in use after the chmod
// that the warning names, and one that is not good yet when its time comes; what has run out never
// replaces what is good.
func TestRun_whatTheWarningAsksForIsEnough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		first := time.Now().Add(20 * time.Hour).Truncate(time.Second)
		writePair(t, cert, key, first)
		p, err := LoadPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		var log logText
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx, slog.New(slog.NewTextHandler(&log, nil))) }()
		wait := func(d time.Duration) { <-time.After(d); synctest.Wait() }
		warned := func() int { return strings.Count(log.String(), "level=WARN") }

		second := first.Add(time.Hour)
		writePair(t, cert, key, second)
		if err := os.Chmod(key, 0o644); err != nil {
			t.Fatal(err)
		}
		if wait(4 * time.Second); !p.Expires().Equal(first) || warned() != 1 {
			t.Errorf("with a key that everybody reads %s is in use, %d warnings", p.Expires(), warned())
		}
		if err := os.Chmod(key, 0o600); err != nil {
			t.Fatal(err)
		}
		if wait(4 * time.Second); !p.Expires().Equal(second) {
			t.Errorf("after the chmod %s is in use, want %s:\n%s", p.Expires(), second, log.String())
		}
		writePair(t, cert, key, time.Now().Add(-time.Hour))
		if wait(20 * time.Second); !p.Expires().Equal(second) || warned() != 2 {
			t.Errorf("what ran out at %s is in use, %d warnings", p.Expires(), warned())
		}
		later := time.Now().Add(25 * time.Hour).Truncate(time.Second)
		writePair(t, cert, key, later)
		if wait(20 * time.Second); !p.Expires().Equal(second) || warned() != 3 {
			t.Errorf("before its time %s is in use, %d warnings", p.Expires(), warned())
		}
		if wait(time.Hour); !p.Expires().Equal(later) {
			t.Errorf("when its time has come %s is in use, want %s", p.Expires(), later)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestCheck_plainTextBeyondThisMachineIsRefused is decision 60.
func TestCheck_plainTextBeyondThisMachineIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, cert, key, time.Now().Add(time.Hour))
	open := filepath.Join(dir, "open.pem")
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(open, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	good := TLSSettings{Cert: config.Path(cert), Key: config.Path(key)}
	further := good
	further.Listen = []string{"0.0.0.0:9443"}
	for name, c := range map[string]struct {
		settings  TLSSettings
		listen    string
		plaintext bool
		want      string // of the refusal; empty: it is taken
	}{
		"loopback":              {listen: "127.0.0.1:9090"},
		"loopback of IPv6":      {listen: "[::1]:9090"},
		"localhost":             {listen: "localhost:9090"},
		"all addresses":         {listen: ":9090", want: "server.plaintext"},
		"all addresses of IPv4": {listen: "0.0.0.0:9090", want: "server.plaintext"},
		"a name":                {listen: "box.example.com:9090", want: "server.plaintext"},
		"a network":             {listen: "10.1.2.3:9090", want: "server.plaintext"},
		"behind a proxy":        {listen: "10.1.2.3:9090", plaintext: true},
		"with TLS":              {settings: good, listen: "10.1.2.3:9090"},
		"with TLS beside":       {settings: further, listen: "127.0.0.1:9090"},
		"plain beside TLS":      {settings: further, listen: "10.1.2.3:9090", want: "server.plaintext"},
		"no key":                {settings: TLSSettings{Cert: good.Cert}, listen: "localhost:0", want: "tls.key is missing"},
		"no certificate":        {settings: TLSSettings{Key: good.Key}, listen: "localhost:0", want: "tls.cert is missing"},
		"no pair":               {settings: TLSSettings{Cert: good.Key, Key: good.Key}, listen: "localhost:0", want: "no pair"},
		"a key that everybody reads": {settings: TLSSettings{Cert: good.Cert, Key: config.Path(open)}, listen: "localhost:0",
			want: "chmod o="},
		"HSTS without a certificate":  {settings: TLSSettings{HSTS: true}, listen: "localhost:0", want: "tls.hsts needs"},
		"listen without certificates": {settings: TLSSettings{Listen: further.Listen}, listen: "localhost:0", want: "tls.listen needs"},
	} {
		var problems config.Problems
		c.settings.Check([]string{c.listen}, c.plaintext, &problems)
		err := problems.Err()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// logText is a log that is read while it is written.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
