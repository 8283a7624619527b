package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/control-center/internal/login"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/tokens"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Session is one sign-in and everything refreshed from it. Fields stand in the order of their JSON
// names; times are Unix seconds.
type Session struct {
	ACR       string   `json:"acr"`
	AMR       []string `json:"amr"`
	AuthTime  int64    `json:"auth_time"`
	AV        int64    `json:"av"`     // of the account when it was begun or last refreshed
	Ends      int64    `json:"ends"`   // absolute
	ID        string   `json:"id"`     // sid
	Idle      int64    `json:"idle"`   // ends earlier when not refreshed until then
	Newest    string   `json:"newest"` // jti of the newest access token
	Refresh   string   `json:"refresh"`
	Rotated   int64    `json:"rotated"`    // Unix milliseconds of the last refresh
	TokenEnds int64    `json:"token_ends"` // of the access token that lives longest
	User      string   `json:"user"`
}

// refresh is one refresh token by its hash; the token itself is stored nowhere in the clear.
type refresh struct {
	Ends      int64  `json:"ends"`
	ID        string `json:"id"` // SHA-256 of the token, hex
	Session   string `json:"session"`
	Successor string `json:"successor,omitempty"` // sealed answer that replaced it
	Next      string `json:"successor_id,omitempty"`
	Used      bool   `json:"used"`
	UsedAt    int64  `json:"used_at,omitempty"` // Unix milliseconds
}

// attempts counts the wrong passwords of one account, apart for places it was used from before, so
// that a stranger's guessing does not shut its owner out. Its id is the user's.
type attempts struct {
	ID     string                    `json:"id"`
	Known  []string                  `json:"known"`
	Places map[string]login.Failures `json:"places"`
}

// Tables of this package. The index "ends" orders what retention removes.
var (
	sessions  = store.Table[Session]{Kind: "session", ID: func(s Session) string { return s.ID }, Index: func(s Session) []store.IndexKey { return ends(s.Idle) }}
	refreshes = store.Table[refresh]{Kind: "refresh", ID: func(r refresh) string { return r.ID }, Index: func(r refresh) []store.IndexKey { return ends(r.Ends) }}
	counts    = store.Table[attempts]{Kind: "login_attempts", ID: func(a attempts) string { return a.ID }}
)

func ends(at int64) []store.IndexKey {
	return []store.IndexKey{{Name: "ends", Value: fmt.Sprintf("%012d", at)}}
}

// endAt returns the time in a value of the index "ends".
func endAt(value string) time.Time {
	at, err := strconv.ParseInt(value, 10, 64)
	if err != nil { // not one of ours
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

// Sessions signs people in, keeps them signed in and signs them out.
type Sessions struct {
	Changes  *change.Committer
	Hasher   *user.Hasher
	Sealer   *keys.Sealer
	Mint     *tokens.Mint
	Verifier *token.Verifier // without revocations: refresh looks at the session itself
	Dummy    mfa.Factor      // what codes are checked against when there is nothing real to check
	MFA      bool            // [mfa] required: no session without a one-time code
	Idle     time.Duration   // a session ends when not refreshed for this long (8 h)
	Absolute time.Duration   // and in any case after this (7 days)
	Now      func() time.Time
	Log      *slog.Logger
}

// Grant is what a sign-in or a refresh hands out.
type Grant struct {
	ExpiresAt        time.Time `json:"expires_at"`
	Refresh          string    `json:"refresh"`
	RefreshExpiresAt time.Time `json:"refresh_expires_at"`
	Token            string    `json:"token"`

	User user.User `json:"-"` // of a sign-in
}

// access puts the next access token of s for u into g and updates s.
func (d *Sessions) access(g *Grant, s *Session, u user.User, now time.Time) error {
	s.AuthTime = min(s.AuthTime, now.Unix()) // the clock may have been ahead at the sign-in
	raw, c, err := d.Mint.Access(token.Claims{
		Subject: u.ID, SessionID: s.ID, AuthTime: s.AuthTime, ACR: s.ACR, AMR: s.AMR,
		Roles: u.Roles, Username: u.Username, AuthVersion: u.AV,
	}, now, time.Unix(s.Ends, 0))
	if err != nil {
		return err
	}
	g.Token, g.ExpiresAt = raw, time.Unix(c.Expires, 0).UTC()
	s.AV, s.Newest = u.AV, c.ID
	s.TokenEnds = max(s.TokenEnds, c.Expires) // the lifetime may have been configured shorter since
	return nil
}

// RefreshPrefix marks refresh tokens, for people and for secret scanners.
const RefreshPrefix = "rt_"

func newRefresh() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return RefreshPrefix + base64.RawURLEncoding.EncodeToString(b)
}

func hash(raw string) string {
	sum := sha256.Sum256([]byte(raw))
	return hex.EncodeToString(sum[:])
}

// isRefresh says whether raw has the form of a refresh token.
func isRefresh(raw string) bool {
	return strings.HasPrefix(raw, RefreshPrefix) && len(raw) == len(RefreshPrefix)+43
}

// issue mints the next pair of tokens of s for u, stores the refresh token and updates s.
func (d *Sessions) issue(tx *store.Tx, s *Session, u user.User, now time.Time) (Grant, error) {
	s.Idle = min(now.Add(d.Idle).Unix(), s.Ends)
	g := Grant{Refresh: newRefresh(), RefreshExpiresAt: time.Unix(s.Idle, 0).UTC(), User: u}
	if err := d.access(&g, s, u, now); err != nil {
		return Grant{}, err
	}
	s.Refresh = hash(g.Refresh)
	if err := refreshes.Create(tx, refresh{Ends: s.Idle, ID: s.Refresh, Session: s.ID}); err != nil {
		return Grant{}, err
	}
	return g, sessions.Save(tx, *s)
}
