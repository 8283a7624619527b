package api_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/api"
	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/transport"
	"github.com/provisioning-platform/platform/shared/web"
)

// signingRequest returns a certificate signing request for a fresh key.
func signingRequest(t *testing.T) string {
	t.Helper()
	key, err := transport.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// TestPeer_theOrchestratorRenewsItsCertificateByItself: at half its life, and also when it ran out
// while the orchestrator was off; the new one is used at once and after a restart.
func TestPeer_theOrchestratorRenewsItsCertificateByItself(t *testing.T) {
	t.Parallel()
	schema := controltest.Schema()
	schema.Kinds = append(schema.Kinds, audit.Kinds()...)
	r := controltest.Over(t, memstore.New(schema))
	a := wired(t, r)
	authority := a.Certificates
	keys, err := audit.MakeKeys(instance.Folder(r.Dir).AuditKeys(), audit.Origin(r.File.Deployment, token.ControlCenter))
	if err != nil {
		t.Fatal(err)
	}
	a.Log, err = audit.Open(t.Context(), audit.Options{DB: r.DB, Keys: keys, Log: obs.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	server, err := web.NewServer(web.Config{Service: token.ControlCenter, Routes: a.Routes(), Nouns: api.Nouns(), Log: obs.Discard(),
		Key: []byte("k"), Store: r.DB, Now: r.Clock.Now, Decide: r.Policies.Authority.Decide, AdmitPeer: api.AdmitPeer(authority),
		Authenticate: func(context.Context, string, *http.Request) (token.Claims, error) {
			return token.Claims{Kind: token.Service, Subject: token.ServiceSubject(token.Orchestrator)}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	port := httptest.NewUnstartedServer(server.PeerHTTP().Handler)
	port.TLS = authority.Server()
	port.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	port.StartTLS()
	t.Cleanup(port.Close)
	credential, err := client.ReadCredential(r.Admin.OrchestratorCredential)
	if err != nil || credential.PeerURL != "https://127.0.0.1:9443" {
		t.Fatalf("%+v %v", credential.PeerURL, err)
	}
	credential.PeerURL = port.URL
	dir := instance.Folder(t.TempDir())
	open := func() *client.Peer {
		p, err := client.NewPeer("", credential, dir, r.Clock.Now)
		if err != nil || p.Proof == nil {
			t.Fatalf("%v %v", p, err)
		}
		return p
	}
	// renewed runs the renewal until it has looked once, and returns when the certificate ends.
	renewed := func(p *client.Peer) (ends time.Time) {
		ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer stop()
		if err := p.RenewProof(ctx, obs.Discard()); err != nil {
			t.Fatal(err)
		}
		return p.Proof.Expires()
	}
	peer := open()
	first := peer.Proof.Expires()
	r.Clock.Add(14 * 24 * time.Hour)
	if ends := renewed(peer); !ends.Equal(first) {
		t.Errorf("before half of its life the certificate was renewed to %s", ends)
	}
	r.Clock.Add(2 * 24 * time.Hour)
	second := renewed(peer)
	if second.Sub(first) != 16*24*time.Hour {
		t.Errorf("after half of its life it ends at %s, before at %s", second, first)
	}
	if _, err := peer.Policies(t.Context(), 0, 0); err != nil {
		t.Errorf("the new certificate is not good: %v", err)
	}
	again := open()
	if !again.Proof.Expires().Equal(second) {
		t.Errorf("after a restart the certificate of %s is used", again.Proof.Expires())
	}
	r.Clock.Add(60 * 24 * time.Hour)
	if _, err := again.Policies(t.Context(), 0, 0); err == nil || !strings.Contains(err.Error(), "ran out") {
		t.Errorf("with a certificate that ran out: %v", err)
	}
	if third := renewed(again); !third.After(r.Clock.Now()) {
		t.Errorf("what ran out was not renewed: %s", third)
	}
	if _, err := again.Policies(t.Context(), 0, 0); err != nil {
		t.Errorf("renewed after it ran out: %v", err)
	}
}
