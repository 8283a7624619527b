package security

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestPeerPort_theInternalRoutesAreThereAndNowhereElse is B3 and decision 59 with the built
// binaries: who has the service token alone, or a certificate alone, or stands at a listener of
// everybody, comes to nothing. The orchestrator works all the same, also with a credential from
// before the port, once that was renewed.
func TestPeerPort_theInternalRoutesAreThereAndNowhereElse(t *testing.T) {
	t.Parallel()
	curl := rigtest.Need(t, "curl", "curl (Debian: curl)")
	r := rigtest.Start(t, rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir(), Peer: "127.0.0.1:0", TLS: true})
	s := &site{Rig: r}
	var credential map[string]string
	raw, err := os.ReadFile(r.Admin.OrchestratorCredential)
	if err == nil {
		err = json.Unmarshal(raw, &credential)
	}
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(r.Dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	header := write("header", "Authorization: Bearer "+s.service(t)) // a token is no argument
	key, issuer := s.serviceKey(t)
	claims := serviceClaims(issuer)
	claims.Expires = claims.IssuedAt - 3600
	claims.IssuedAt, claims.NotBefore = claims.Expires-60, claims.Expires-60
	old, err := token.Sign(claims, key, token.Service)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(credential["peer_url"], "127.0.0.1")
	peer := "https://" + credential["deployment"] + port
	believe := []string{
		"--cacert",
		write("ca.pem", credential["ca"]),
		"--connect-to",
		credential["deployment"] + port + ":127.0.0.1" + port,
	}
	prove := append(
		[]string{"--cert", write("cert.pem", credential["certificate"]), "--key", write("key.pem", credential["certificate_key"])},
		believe...)
	foreign := append(
		[]string{"--cert", filepath.Join(r.Dir, "tls", "server.pem"), "--key", filepath.Join(r.Dir, "tls", "server.key")},
		believe...)
	bearer := []string{"-H", "@" + header}
	for name, c := range map[string]struct {
		args []string
		url  string
		want string
	}{
		"the orchestrator":                   {append(bearer, prove...), peer + "/internal/v1/policies?wait=0", "200"},
		"no certificate":                     {append(bearer, believe...), peer + "/internal/v1/policies?wait=0", "000"},
		"a certificate of another authority": {append(bearer, foreign...), peer + "/internal/v1/policies?wait=0", "000"},
		"no token":                           {prove, peer + "/internal/v1/policies?wait=0", "401"},
		"a token that is over": {append([]string{"-H", "@" + write("old", "Authorization: Bearer "+old)}, prove...),
			peer + "/internal/v1/policies?wait=0", "401"},
		"a person": {append([]string{"-H", "@" + write("person", "Authorization: Bearer "+r.Token.Reveal())}, prove...),
			peer + "/internal/v1/policies?wait=0", "403"},
		"what is everybody's, at the port": {append(bearer, prove...), peer + "/health", "404"},
		"the listener of everybody":        {bearer, r.ControlCenter.Address + "/internal/v1/policies?wait=0", "404"},
		"the renewal there":                {append(bearer, "-X", "POST"), r.ControlCenter.Address + "/internal/v1/certificate", "404"},
		"the listener of everybody with TLS": {append(bearer, "--cacert", r.Authority()), r.ControlCenter.Secure + "/internal/v1/policies",
			"404"},
	} {
		args := append([]string{"-s", "--max-time", "20", "-o", os.DevNull, "-w", "%{http_code}", c.url}, c.args...)
		if out, _ := exec.CommandContext(t.Context(), curl, args...).Output(); string(out) != c.want {
			t.Errorf("%s: %s, want %s", name, out, c.want)
		}
	}
	files, err := filepath.Glob(filepath.Join(r.Dir, "control-center", "keys", "peer", "*.pem"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	ca, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _ := bytes.Cut(ca, []byte("-----BEGIN PRIVATE KEY-----\n"))
	if len(secret) < 100 || bytes.Contains(raw, secret[:64]) {
		t.Error("the credential holds the key of the authority")
	}

	// A credential of before the port has no such members.
	for _, member := range []string{"peer_url", "ca", "certificate", "certificate_key"} {
		delete(credential, member)
	}
	before, err := json.Marshal(credential)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Orchestrator.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.Admin.OrchestratorCredential, before, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := r.Run(t.Context(), "orchestrator", "config", "check", "--data", filepath.Join(r.Dir, "orchestrator"), "--credential",
		r.Admin.OrchestratorCredential)
	if err == nil || !strings.Contains(err.Error(), "control-center credential renew") {
		t.Errorf("a credential without peer_url: %v %s", err, out)
	}
	if _, err := r.Run(t.Context(), "control-center", "credential", "renew", "--data", filepath.Join(r.Dir, "control-center"), "--peer-url",
		"https://127.0.0.1"+port); err != nil {
		t.Fatal(err)
	}
	if err := r.Orchestrator.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}
