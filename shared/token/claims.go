package token

// The kinds of signed tokens, as they stand in the header's typ.
const (
	Access  = "at+jwt"  // a person's token for the API
	Service = "svc+jwt" // one service calling the other, lives a minute
)

// The audiences: each service's own id.
const (
	Orchestrator  = "orchestrator"
	ControlCenter = "control-center"
)

// Claims are the verified claims of an access or service token (reliability-bar 5.3, decision 25).
// Times are Unix seconds. Verified claims are shared between callers: read only.
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
	Type        string   `json:"-"`             // typ of the header: "at+jwt" or "svc+jwt"
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
