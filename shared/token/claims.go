package token

// Claims are the verified claims of an access or service token (reliability-bar 5.3, decision 25).
// Times are Unix seconds.
type Claims struct {
	Issuer      string
	Subject     string   // user UUID; "service:<name>" in a service token
	Audience    []string // "orchestrator", "control-center"
	ID          string   // jti
	SessionID   string   // sid
	IssuedAt    int64
	NotBefore   int64
	Expires     int64
	AuthTime    int64
	ACR         string   // "aal1" or "aal2"
	AMR         []string // "pwd", "otp", "rc" (recovery code)
	Roles       []string
	Username    string
	AuthVersion int64  // "av": raised by every change of roles, enabled state, password or factors
	KeyID       string // kid of the header
	Type        string // typ of the header: "at+jwt" or "svc+jwt"
}
