package tokens

import (
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/token"
)

// issuerPrefix and the id of the deployment are its name as issuer of tokens.
const issuerPrefix = "provisioning-platform:"

// Issuer returns the member iss in the tokens of a deployment.
func Issuer(deployment string) string { return issuerPrefix + deployment }

// Mint makes access tokens. It is built as a literal.
type Mint struct {
	Ring   *keys.Ring
	Issuer string
	TTL    time.Duration // [tokens] access_ttl
}

// Access returns a signed token and its claims. The caller sets subject, session, roles, versions
// and factors in c; Access sets issuer, audience, id and times. The token ends after TTL, or at
// limit when that is earlier.
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
