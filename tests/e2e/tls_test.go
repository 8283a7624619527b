package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// believing returns TLS settings of a client that believes the authority of an installation.
func believing(t *testing.T, r *rig.Rig) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(r.Authority())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate in %s", r.Authority())
	}
	return &tls.Config{RootCAs: roots}
}

// overTLS returns a client of an installation; change sets what else it insists on.
func overTLS(t *testing.T, r *rig.Rig, change func(*http.Transport)) *http.Client {
	t.Helper()
	own := &http.Transport{TLSClientConfig: believing(t, r), ForceAttemptHTTP2: true}
	if change != nil {
		change(own)
	}
	t.Cleanup(own.CloseIdleConnections)
	return &http.Client{Transport: own, Timeout: 20 * time.Second}
}

// TestTLS_everyClientComesIn is S05: versions, HTTP/2, curl, sockets and both command lines, over
// the listeners that make run adds.
func TestTLS_everyClientComesIn(t *testing.T) {
	curl := rigtest.Need(t, "curl", "curl (Debian: curl)")
	_, node, packages := rigtest.PrintedClients(t)
	o := sample(t)
	o.TLS = true
	r := rigtest.Start(t, o)
	for _, base := range []string{r.ControlCenter.Secure, r.Orchestrator.Secure} {
		for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true,
			tls.VersionTLS13: true} {
			resp, err := overTLS(t, r, func(own *http.Transport) {
				own.TLSClientConfig.MinVersion, own.TLSClientConfig.MaxVersion = version, version
			}).Get(base + "/health")
			if (err == nil) != want {
				t.Errorf("%s with %s: %v", base, tls.VersionName(version), err)
			}
			if err == nil {
				if _ = resp.Body.Close(); resp.ProtoMajor != 2 || resp.StatusCode != 200 {
					t.Errorf("%s with %s: %s %s", base, tls.VersionName(version), resp.Proto, resp.Status)
				}
			}
		}
		for args, want := range map[string]string{
			"--cacert " + r.Authority():                             "2 200",
			"--http1.1 --cacert " + r.Authority():                   "1.1 200",
			"--http1.0 --cacert " + r.Authority():                   "1 200",
			"--http2-prior-knowledge --cacert " + r.Authority():     "2 200",
			"--tls-max 1.1 --ciphers ALL --cacert " + r.Authority(): "0 000",
			"": "0 000", // an authority that this machine does not know
		} {
			args := append(strings.Fields(args), "-s", "--max-time", "20", "-o", os.DevNull, "-w", "%{http_version} %{http_code}",
				base+"/health")
			if out, _ := exec.CommandContext(t.Context(), curl, args...).Output(); string(out) != want {
				t.Errorf("curl %v: %s, want %s", args, out, want)
			}
		}
	}
	// A socket needs HTTP/1.1; over HTTP/2 it is a refusal like any other.
	resp, err := overTLS(t, r, nil).Get(r.Orchestrator.Secure + "/ws?token=" + r.Token.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	if _ = resp.Body.Close(); resp.StatusCode < 400 || resp.StatusCode >= 500 || !strings.Contains(string(text), `"success":false`) {
		t.Errorf("/ws over HTTP/2: %s %s", resp.Status, text)
	}
	t.Run("command lines", func(t *testing.T) { commandLinesOverTLS(t, r) })
	t.Run("sockets in Node", func(t *testing.T) { socketOverTLS(t, r, node, packages) })
}

// commandLinesOverTLS signs in with a private authority, which both command lines then know.
func commandLinesOverTLS(t *testing.T, r *rig.Rig) {
	password := filepath.Join(r.Dir, "password")
	if err := os.WriteFile(password, []byte(r.Admin.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	login := []string{"auth", "login", "--server", r.ControlCenter.Secure, "--username", "admin", "--password-file", password,
		"--mfa-code", r.Admin.RecoveryCodes[0]}
	if _, err := r.Run(t.Context(), "control-center", login...); err == nil || !strings.Contains(err.Error(), "--ca-file") {
		t.Fatalf("an authority that is not known: %v", err)
	}
	if _, err := r.Run(t.Context(), "control-center", append(login, "--ca-file", r.Authority())...); err != nil {
		t.Fatal(err)
	}
	for _, line := range [][]string{
		{"control-center", "user", "list"},
		{"orchestrator", "task", "list", "--server", r.Orchestrator.Secure},
		{"orchestrator", "batch", "submit", "--server", r.Orchestrator.Secure, "--watch",
			rigtest.Repository(t, "deploy", "sample", "batches", "multi_cloud_deployment.json")},
	} {
		if out, err := r.Run(t.Context(), line[0], line[1:]...); err != nil {
			t.Errorf("%v: %v\n%s", line, err, out)
		}
	}
	if _, err := r.Run(t.Context(), "orchestrator", "task", "list", "--server", r.Orchestrator.Secure, "--ca-file", password); err == nil ||
		!strings.Contains(err.Error(), "no certificate in PEM") {
		t.Errorf("a file without certificates: %v", err)
	}
}

// socketOverTLS runs the reference's WebSocket lines over wss in Node.
func socketOverTLS(t *testing.T, r *rig.Rig, node, packages string) {
	token := filepath.Join(r.Dir, "token")
	if err := os.WriteFile(token, []byte(r.Token.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	watching := exec.CommandContext(ctx, node, filepath.Join("testdata", "socket.mjs"))
	watching.Env = append(os.Environ(), "BASE_URL="+r.Orchestrator.Secure, "TOKEN_FILE="+token, "PACKAGES="+packages,
		"NODE_EXTRA_CA_CERTS="+r.Authority())
	watching.Stderr = os.Stderr
	out, err := watching.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watching.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watching.Process.Kill(); _ = watching.Wait() }()
	go func() { // events until one arrives
		for ctx.Err() == nil {
			_, _ = r.Orch(r.Token).CreateCheckpoint(ctx, "seen in Node", "", "")
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}()
	if n, err := out.Read(make([]byte, 100)); n == 0 {
		t.Errorf("no event over wss: %v", err)
	}
	cancel()
}

// TestTLS_aNewCertificateIsInUseWithin5sAndNobodyIsCutOff is S05.
func TestTLS_aNewCertificateIsInUseWithin5sAndNobodyIsCutOff(t *testing.T) {
	o := sample(t)
	o.TLS = true
	r := rigtest.Start(t, o)
	before := overTLS(t, r, nil)
	serial := func(c *http.Client) string {
		resp, err := c.Get(r.Orchestrator.Secure + "/health")
		if err != nil {
			return err.Error()
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.TLS.PeerCertificates[0].SerialNumber.String()
	}
	first := serial(before)
	fresh, err := rig.Open(rig.Options{Dir: t.TempDir(), TLS: true}, r.Admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server.pem", "server.key", "ca.pem"} {
		to := filepath.Join(filepath.Dir(r.Authority()), name)
		if err := os.Rename(filepath.Join(filepath.Dir(fresh.Authority()), name), to); err != nil {
			t.Fatal(err)
		}
	}
	rigtest.Await(t, 5*time.Second, "the new certificate is in use", func() bool {
		return !strings.Contains(serial(overTLS(t, r, nil)), "certificate") && serial(overTLS(t, r, nil)) != first
	})
	if again := serial(before); again != first {
		t.Errorf("the connection of before was cut off: %s", again)
	}
}
