package token

import (
	"strings"

	"github.com/provisioning-platform/platform/shared/authz"
)

// Kind is the kind of a token, as it stands in the header's typ. The key that signed decides it: a
// key of the control-center signs for people, the key of a service for that service only.
type Kind string

// These are the kinds of signed tokens.
const (
	Access  Kind = "at+jwt"  // a person's token for the API
	Service Kind = "svc+jwt" // one service calling the other, lives a minute
)

// An audience is the id of the service that a token is for.
const (
	Orchestrator  = "orchestrator"
	ControlCenter = "control-center"
)

// Claims are the verified claims of an access or service token (reliability-bar 5.3, decision 25).
// Times are Unix seconds. Callers share verified claims, so nobody may change them.
type Claims struct {
	Issuer      string   `json:"iss"`
	Subject     string   `json:"sub"` // user UUID; "service:<name>" in a service token
	Audience    []string `json:"aud"` // "orchestrator", "control-center"
	ID          string   `json:"jti"`
	SessionID   string   `json:"sid,omitempty"`
	IssuedAt    int64    `json:"iat"`
	NotBefore   int64    `json:"nbf"`
	Expires     int64    `json:"exp"`
	AuthTime    int64    `json:"auth_time,omitempty"`
	ACR         string   `json:"acr,omitempty"` // "aal1" or "aal2"
	AMR         []string `json:"amr,omitempty"` // "pwd", "otp", "rc" (recovery code)
	Roles       []string `json:"roles,omitempty"`
	Username    string   `json:"username,omitempty"`
	Provider    string   `json:"idp,omitempty"` // identity provider of a federated session
	AuthVersion int64    `json:"av,omitempty"`  // raised by every change of roles, enabled state, password or factors
	KeyID       string   `json:"-"`             // kid of the header
	Kind        Kind     `json:"-"`             // of the key that signed, as the header's typ says; API for an API token

	Scope authz.Scope `json:"-"` // of an API token, whose ID is that of the token; nil for every other kind
}

// servicePrefix begins the subject of a service token.
const servicePrefix = "service:"

// ServiceSubject returns the subject with which the named service speaks: "service:<name>".
func ServiceSubject(name string) string { return servicePrefix + name }

// Service returns the name of the service that a service token speaks for; empty for a person's
// token, whatever its subject is.
func (c Claims) Service() string {
	if c.Kind != Service {
		return ""
	}
	return strings.TrimPrefix(c.Subject, servicePrefix)
}

// Bounds returns what the scope of the token allows at most: nil, which bounds nothing, for every
// kind but an API token.
func (c Claims) Bounds() authz.Scope {
	if c.Kind == API && c.Scope == nil {
		return authz.Scope{}
	}
	return c.Scope
}

// MFA says whether the session was opened with a second factor.
func (c Claims) MFA() bool {
	for _, m := range c.AMR {
		if m == "otp" || m == "rc" {
			return true
		}
	}
	return false
}
