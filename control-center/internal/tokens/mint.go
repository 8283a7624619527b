package tokens

import (
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/token"
)

// The name of this deployment as issuer of tokens is this prefix and the deployment's id.
const issuerPrefix = "provisioning-platform:"

// Issuer returns the iss of a deployment.
func Issuer(deployment string) string { return issuerPrefix + deployment }

// Mint makes access tokens.
type Mint struct {
	Ring   *keys.Ring
	Issuer string
	TTL    time.Duration // [tokens] access_ttl
}

// Access returns a token for c, whose subject, session, roles, versions and factors the caller has
// filled in; issuer, audience, id and times are set here. No token outlives limit.
func (m *Mint) Access(c token.Claims, now, limit time.Time) (string, token.Claims, error) {
	expires := now.Add(m.TTL)
	if limit.Before(expires) {
		expires = limit
	}
	c.Issuer = m.Issuer
	c.Audience = []string{token.Orchestrator, token.ControlCenter}
	c.ID = id.New()
	c.IssuedAt, c.NotBefore, c.Expires = now.Unix(), now.Unix(), expires.Unix()
	raw, err := m.Ring.Sign(c, token.Access)
	return raw, c, err
}
