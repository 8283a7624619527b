package session

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/login"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/tokens"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Session is one sign-in and all tokens that were refreshed from it. Fields stand in the order of
// their JSON names; times are Unix seconds.
type Session struct {
	ACR       string   `json:"acr"`
	AMR       []string `json:"amr"`
	AuthTime  int64    `json:"auth_time"`
	AV        int64    `json:"av"`         // authorization version of the account at the sign-in or the last refresh
	Ends      int64    `json:"ends"`       // when the session is over whatever happens
	ID        string   `json:"id"`         // sid
	Idle      int64    `json:"idle"`       // when the session is over unless it is refreshed before
	Newest    string   `json:"newest"`     // id (jti) of the newest access token
	Refresh   string   `json:"refresh"`    // SHA-256 of the newest refresh token, hex
	Rotated   int64    `json:"rotated"`    // Unix milliseconds of the last refresh
	TokenEnds int64    `json:"token_ends"` // end of the access token that lives longest
	User      string   `json:"user"`
}

// refresh is one refresh token by its hash. The store holds no token in the clear.
type refresh struct {
	Ends      int64  `json:"ends"`
	ID        string `json:"id"` // SHA-256 of the token, hex
	Session   string `json:"session"`
	Successor string `json:"successor,omitempty"`    // the answer to its use, sealed
	Next      string `json:"successor_id,omitempty"` // hash of the refresh token in that answer
	Used      bool   `json:"used"`
	UsedAt    int64  `json:"used_at,omitempty"` // Unix milliseconds
}

// accountFailures counts the wrong passwords of one account. Each network that the account was used
// from before has a count of its own, so that somebody who guesses elsewhere does not shut the
// owner out. Fields stand in the order of their JSON names.
type accountFailures struct {
	ID       string                    `json:"id"`     // the user's
	Networks []string                  `json:"known"`  // the newest first, at most knownNetworks
	Failures map[string]login.Failures `json:"places"` // by network; those of all others stand under "*"
}

// The tables of this package. Retention removes sessions and refresh tokens in the order of the
// index "ends".
var (
	sessions = store.Table[Session]{Kind: "session", ID: func(s Session) string { return s.ID },
		Index: func(s Session) []store.IndexKey { return ends(s.Idle) }}
	refreshes = store.Table[refresh]{Kind: "refresh", ID: func(r refresh) string { return r.ID },
		Index: func(r refresh) []store.IndexKey { return ends(r.Ends) }}
	counts = store.Table[accountFailures]{Kind: "login_attempts", ID: func(a accountFailures) string { return a.ID }}
)

// ends returns the index of a document that is over at a Unix second, in a form whose order is that
// of time.
func ends(at int64) []store.IndexKey {
	return []store.IndexKey{{Name: "ends", Value: fmt.Sprintf("%012d", at)}}
}

// endAt returns the time in a value of the index "ends".
func endAt(value string) time.Time {
	at, err := strconv.ParseInt(value, 10, 64)
	if err != nil { // The function ends never writes such a value.
		return time.Time{}
	}
	return time.Unix(at, 0)
}

// Kinds declares the documents of this package.
func Kinds() []store.Kind {
	return []store.Kind{
		{Name: sessions.Kind, Indexes: []string{"ends"}},
		{Name: refreshes.Kind, Indexes: []string{"ends"}},
		{Name: counts.Kind},
	}
}

// Sessions signs people in, refreshes their tokens and signs them out. It is built as a literal.
type Sessions struct {
	Changes  *change.Committer
	Hasher   *user.Hasher
	Sealer   *seal.Sealer
	Mint     *tokens.Mint
	Verifier *token.Verifier // It asks no revocations: Refresh looks at the session itself.
	Dummy    mfa.Factor      // Its code is checked where there is no factor, so that both cost the same time.
	MFA      bool            // [mfa] required: nobody gets a session without a one-time code.
	Idle     time.Duration   // A session that is not refreshed for this long (8 h) is over,
	Absolute time.Duration   // and every session is after this (7 days).
	Now      func() time.Time
}

// Grant is the pair of tokens that a sign-in or a refresh returns, with the ends of both.
type Grant struct {
	ExpiresAt        time.Time `json:"expires_at"`
	Refresh          string    `json:"refresh"` // SHA-256 of the newest refresh token, hex
	RefreshExpiresAt time.Time `json:"refresh_expires_at"`
	Token            string    `json:"token"`

	User user.User `json:"-"` // the account, after a sign-in or a refresh; not after a repeated one
}

// access makes the next access token of the session s for the account u, puts it into g and updates
// s.
func (ss *Sessions) access(g *Grant, s *Session, u user.User, now time.Time) error {
	s.AuthTime = min(s.AuthTime, now.Unix()) // The clock may have been ahead at the sign-in.
	raw, c, err := ss.Mint.Access(token.Claims{
		Subject: u.ID, SessionID: s.ID, AuthTime: s.AuthTime, ACR: s.ACR, AMR: s.AMR,
		Roles: u.Roles, Username: u.Username, AuthVersion: u.AV,
	}, now, time.Unix(s.Ends, 0))
	if err != nil {
		return err
	}
	g.Token, g.ExpiresAt = raw, time.Unix(c.Expires, 0).UTC()
	s.AV, s.Newest = u.AV, c.ID
	s.TokenEnds = max(s.TokenEnds, c.Expires) // [tokens] access_ttl may be shorter now than it was.
	return nil
}

// RefreshPrefix begins every refresh token, so that people and secret scanners know one when they
// see it.
const RefreshPrefix = "rt_"

// newRefresh returns a refresh token with 256 random bits.
func newRefresh() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return RefreshPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// hash returns the SHA-256 of a token in hex. A random token of 256 bits needs no salt and no slow
// hash.
func hash(raw string) string {
	return id.Digest(raw)
}

// isRefresh says whether raw has the form of a refresh token.
func isRefresh(raw string) bool {
	return strings.HasPrefix(raw, RefreshPrefix) && len(raw) == len(RefreshPrefix)+43
}

// issue makes the next pair of tokens of the session s for the account u, and stores the refresh
// token and s.
func (ss *Sessions) issue(tx *store.Tx, s *Session, u user.User, now time.Time) (Grant, error) {
	s.Idle = min(now.Add(ss.Idle).Unix(), s.Ends)
	g := Grant{Refresh: newRefresh(), RefreshExpiresAt: time.Unix(s.Idle, 0).UTC(), User: u}
	if err := ss.access(&g, s, u, now); err != nil {
		return Grant{}, err
	}
	s.Refresh = hash(g.Refresh)
	if err := refreshes.Create(tx, refresh{Ends: s.Idle, ID: s.Refresh, Session: s.ID}); err != nil {
		return Grant{}, err
	}
	return g, sessions.Save(tx, *s)
}
