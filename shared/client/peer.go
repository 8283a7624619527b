package client

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/token"
)

// Credential is the file with which the orchestrator proves itself to the control-center (decision
// 4).
type Credential struct {
	ClientID   string
	Deployment string
	Issuer     string
	AuditKey   audit.Public // of the control-center's log
	PeerURL    string       // of the service-to-service port; empty: the credential is not for it
	key        ed25519.PrivateKey
	proof      proof // on the service-to-service port; empty without PeerURL
}

// ReadCredential reads the credential that `control-center init` wrote.
func ReadCredential(path string) (Credential, error) {
	text, err := secret.FromFile(path)
	if err != nil {
		return Credential{}, fmt.Errorf("the orchestrator's credential (--credential): %w", err)
	}
	var file struct {
		ClientID   string `json:"client_id"`
		AuditKey   string `json:"control_center_audit_key"`
		Deployment string `json:"deployment"`
		Issuer     string `json:"issuer"`
		PeerURL    string `json:"peer_url"`
		PrivateKey string `json:"private_key"` // seed, base64url
		proof
	}
	damaged := func(why error) (Credential, error) {
		return Credential{}, fmt.Errorf("%s is no credential of this platform (%w); take the file that `control-center init` named", path,
			why)
	}
	if err := json.Unmarshal([]byte(text.Reveal()), &file); err != nil {
		return damaged(err)
	}
	seed, err := base64.RawURLEncoding.DecodeString(file.PrivateKey)
	if err != nil || len(seed) != ed25519.SeedSize {
		return damaged(fmt.Errorf("private_key is no Ed25519 seed"))
	}
	pin, err := audit.ParsePublic(file.AuditKey)
	if err != nil {
		return damaged(err)
	}
	c := Credential{ClientID: file.ClientID, Deployment: file.Deployment, Issuer: file.Issuer, AuditKey: pin, PeerURL: file.PeerURL,
		key: ed25519.NewKeyFromSeed(seed), proof: file.proof}
	if c.PeerURL != "" {
		if _, err := c.proof.read(c.Deployment, time.Now); err != nil {
			return damaged(err)
		}
	}
	return c, nil
}

// serviceTokenLife is how long a service token is good (decision 4).
const serviceTokenLife = time.Minute

// Peer speaks for the orchestrator on the control-center's internal routes. Each call carries a
// token of its own making.
type Peer struct {
	Base       string // address of the control-center
	Credential Credential
	Now        func() time.Time
	Proof      *Proof // on the service-to-service port; nil: Base is a listener of everybody
}

// NewPeer returns the orchestrator's side of what it asks a control-center. It comes to the
// service-to-service port when address is empty or the credential's peer_url: what is configured
// decides, and nothing falls back to a port that proves less.
func NewPeer(address string, c Credential, dir instance.Folder, now func() time.Time) (*Peer, error) {
	p := &Peer{Base: cmp.Or(address, c.PeerURL), Credential: c, Now: now}
	if c.PeerURL == "" || strings.TrimRight(p.Base, "/") != strings.TrimRight(c.PeerURL, "/") {
		return p, nil
	}
	var err error
	p.Proof, err = OpenProof(dir, c, now)
	return p, err
}

// longPollSlack is how much longer than the asked wait an answer may take.
const longPollSlack = 5 * time.Second

// Revocations asks what was revoked after a sequence and waits for news.
func (p *Peer) Revocations(ctx context.Context, after uint64, wait time.Duration) (token.Feed, error) {
	var f token.Feed
	return f, p.follow(ctx, "/internal/v1/revocations", after, wait, &f)
}

// Policies asks for the policy set after a version and waits for a newer one.
func (p *Peer) Policies(ctx context.Context, after uint64, wait time.Duration) (authz.Feed, error) {
	var f authz.Feed
	return f, p.follow(ctx, "/internal/v1/policies", after, wait, &f)
}

// Subjects asks what accounts may be taken for, after a sequence, and waits for news.
func (p *Peer) Subjects(ctx context.Context, after uint64, wait time.Duration) (token.Subjects, error) {
	var f token.Subjects
	return f, p.follow(ctx, "/internal/v1/subjects", after, wait, &f)
}

// APITokens asks what API tokens stand for, after a sequence, and waits for news.
func (p *Peer) APITokens(ctx context.Context, after uint64, wait time.Duration) (token.APITokenStates, error) {
	var f token.APITokenStates
	return f, p.follow(ctx, "/internal/v1/tokens", after, wait, &f)
}

// ReportUses tells when API tokens were last used.
func (p *Peer) ReportUses(ctx context.Context, uses []token.APIUse) error {
	ctx, cancel := context.WithTimeout(ctx, longPollSlack)
	defer cancel()
	return p.do(ctx, post("/internal/v1/tokens/used", map[string]any{"items": uses}), nil)
}

func (p *Peer) follow(ctx context.Context, path string, after uint64, wait time.Duration, into any) error {
	ctx, cancel := context.WithTimeout(ctx, wait+longPollSlack)
	defer cancel()
	in := get(path)
	in.query = url.Values{"after": {strconv.FormatUint(after, 10)}, "wait": {strconv.FormatInt(wait.Milliseconds(), 10)}}
	return p.do(ctx, in, into)
}

// ExchangeHeads carries a statement about the own log up and the control-center's down.
func (p *Peer) ExchangeHeads(ctx context.Context, s audit.Statement) (audit.Statement, error) {
	ctx, cancel := context.WithTimeout(ctx, longPollSlack)
	defer cancel()
	var answer audit.Statement
	return answer, p.do(ctx, post("/internal/v1/audit/heads", s), &answer)
}

// CopyEntries stores entries of the own log in the control-center's index.
func (p *Peer) CopyEntries(ctx context.Context, c *audit.Copied) error {
	return p.do(ctx, post("/internal/v1/audit/entries", encoded(c.JSON())), nil)
}

func (p *Peer) do(ctx context.Context, in call, out any) error {
	now := p.Now().Unix()
	signed, err := token.Sign(token.Claims{
		Issuer: p.Credential.Issuer, Subject: token.ServiceSubject(token.Orchestrator), Audience: []string{token.ControlCenter},
		ID:       id.Random(),
		IssuedAt: now, NotBefore: now, Expires: now + int64(serviceTokenLife/time.Second),
	}, p.Credential.key, token.Service)
	if err != nil {
		return err
	}
	api := Client{Base: p.Base, Token: secret.New(signed), HTTP: http.DefaultClient}
	if p.Proof != nil {
		api.HTTP = p.Proof.client()
	}
	_, err = api.do(ctx, in, out)
	if fault.CodeOf(err) == "http.not_found" && p.Proof == nil {
		return fault.New(fault.Unavailable, "control_center.peer_port", "the control-center at %s does not have what this "+
			"orchestrator asks for: it is of an older release, or has that on its service-to-service port only (tls.peer.listen); then "+
			"leave --control-center out, after `control-center credential renew` when the credential has no peer_url", p.Base).Because(err)
	}
	return err
}
