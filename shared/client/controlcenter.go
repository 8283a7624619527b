package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/shared/secret"
)

// Session is what a login or a refresh returns.
type Session struct {
	Token            secret.Text
	ExpiresAt        time.Time
	RefreshToken     secret.Text
	RefreshExpiresAt time.Time
	User             User // login only
}

// session is the wire form of Session, in which the secrets are plain.
type session struct {
	Token            string    `json:"token"`
	ExpiresAt        time.Time `json:"expires_at"`
	RefreshToken     string    `json:"refresh_token"`
	RefreshExpiresAt time.Time `json:"refresh_expires_at"`
	User             User      `json:"user"`
}

func (s session) open() Session {
	return Session{Token: secret.New(s.Token), ExpiresAt: s.ExpiresAt, RefreshToken: secret.New(s.RefreshToken),
		RefreshExpiresAt: s.RefreshExpiresAt, User: s.User}
}

// User is a user as the API shows it.
type User struct {
	ID        string     `json:"id"`
	Username  string     `json:"username"`
	Email     string     `json:"email"`
	Roles     []string   `json:"roles"`
	Enabled   bool       `json:"enabled"`
	CreatedAt *time.Time `json:"created_at,omitempty"`
	LastLogin *time.Time `json:"last_login,omitempty"`
}

// Login signs in. code is a TOTP or recovery code, empty when the account has none.
func (c *Client) Login(ctx context.Context, username string, password secret.Text, code string) (Session, error) {
	body := map[string]string{"username": username, "password": password.Reveal()}
	if code != "" {
		body["mfa_code"] = code
	}
	in := post("/auth/login", body)
	in.token = &secret.Text{}
	var s session
	_, err := c.do(ctx, in, &s)
	return s.open(), err
}

// Refresh exchanges a refresh token, or a still valid access token, for a new session.
func (c *Client) Refresh(ctx context.Context, token secret.Text) (Session, error) {
	in := post("/auth/refresh", map[string]string{"token": token.Reveal()})
	in.token = &secret.Text{}
	var s session
	_, err := c.do(ctx, in, &s)
	return s.open(), err
}

// Logout ends the session of the client's token.
func (c *Client) Logout(ctx context.Context) error {
	_, err := c.do(ctx, post("/auth/logout", nil), nil)
	return err
}

// Me is who the client's token speaks for, as the control-center knows now.
type Me struct {
	User
	Token   *APIToken `json:"api_token,omitempty"` // set when an API token was presented; Session is empty then
	Session struct {
		ID        string    `json:"id"`
		ACR       string    `json:"acr"` // "aal2" with a second factor
		AMR       []string  `json:"amr"`
		AuthTime  time.Time `json:"auth_time"`
		ExpiresAt time.Time `json:"expires_at"`
	} `json:"session,omitzero"`
}

// Me asks the control-center who the token speaks for; Unauthenticated when it speaks for nobody
// any more.
func (c *Client) Me(ctx context.Context) (Me, error) {
	var m Me
	_, err := c.do(ctx, get("/me"), &m)
	return m, err
}

// UserFilter selects users; zero values select all.
type UserFilter struct {
	Username string // a name in any spelling, or an e-mail address
	Role     string
	Enabled  *bool
}

// Users lists users, newest first.
func (c *Client) Users(ctx context.Context, f UserFilter, p Page) (List[User], error) {
	q := url.Values{}
	if f.Username != "" {
		q.Set("username", f.Username)
	}
	if f.Role != "" {
		q.Set("role", f.Role)
	}
	if f.Enabled != nil {
		q.Set("enabled", strconv.FormatBool(*f.Enabled))
	}
	return list[User](ctx, c, "/users", q, p)
}

// User returns one user.
func (c *Client) User(ctx context.Context, id string) (User, error) {
	var u User
	_, err := c.do(ctx, get("/users/"+url.PathEscape(id)), &u)
	return u, err
}

// NewUser describes a user to create.
type NewUser struct {
	Username string
	Email    string
	Password secret.Text
	Roles    []string
	Disabled bool
}

// CreateUser creates a user.
func (c *Client) CreateUser(ctx context.Context, n NewUser) (User, error) {
	var u User
	_, err := c.do(ctx, post("/users", map[string]any{
		"username": n.Username, "email": n.Email, "password": n.Password.Reveal(), "roles": n.Roles, "enabled": !n.Disabled,
	}), &u)
	return u, err
}

// UserChange holds the members to change; nil members stay as they are.
type UserChange struct {
	Email    *string
	Roles    []string
	Enabled  *bool
	Password *secret.Text
}

// UpdateUser changes a user.
func (c *Client) UpdateUser(ctx context.Context, id string, ch UserChange) error {
	body := map[string]any{}
	if ch.Email != nil {
		body["email"] = *ch.Email
	}
	if ch.Roles != nil {
		body["roles"] = ch.Roles
	}
	if ch.Enabled != nil {
		body["enabled"] = *ch.Enabled
	}
	if ch.Password != nil {
		body["password"] = ch.Password.Reveal()
	}
	_, err := c.do(ctx, call{method: http.MethodPut, path: "/users/" + url.PathEscape(id), body: body}, nil)
	return err
}

// DeleteUser removes a user.
func (c *Client) DeleteUser(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: "/users/" + url.PathEscape(id)}, nil)
	return err
}

// SigningKey is a key that signs or verifies tokens.
type SigningKey struct {
	ID         string     `json:"kid"`
	State      string     `json:"state"` // "next", "current" or "retiring"
	Since      time.Time  `json:"since"`
	UsableFrom *time.Time `json:"usable_from,omitempty"` // of a next key: when a rotation may put it in use
}

// Keys lists the signing keys.
func (c *Client) Keys(ctx context.Context) ([]SigningKey, error) {
	var all []SigningKey
	_, err := c.do(ctx, get("/keys"), &all)
	return all, err
}

// RotateKeys puts the next key in use and returns its id. It is a conflict while that key was
// announced less than ten minutes ago.
func (c *Client) RotateKeys(ctx context.Context) (string, error) {
	var key struct {
		ID string `json:"kid"`
	}
	_, err := c.do(ctx, post("/keys/rotate", nil), &key)
	return key.ID, err
}

// RemoveKey removes a signing key and every token it signed.
func (c *Client) RemoveKey(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: "/keys/" + url.PathEscape(id)}, nil)
	return err
}

// AuditRow is a row of the audit log.
type AuditRow struct {
	ID        string          `json:"id"`
	Timestamp time.Time       `json:"timestamp"`
	UserID    string          `json:"user_id"`
	Action    string          `json:"action"`
	Resource  string          `json:"resource"`
	Result    string          `json:"result"`
	Details   json.RawMessage `json:"details"`
	Origin    string          `json:"origin,omitempty"`
	Index     *int64          `json:"index,omitempty"`
	LeafHash  string          `json:"leaf_hash,omitempty"`
}

// AuditFilter selects audit rows; zero values select all. From and To are ISO 8601 texts.
type AuditFilter struct {
	UserID, Action, Resource, From, To string
}

// AuditLogs lists audit rows, newest first. A request with several filters looks at so many rows
// and no more, so AuditLogs asks on until it has as many as were asked for or has seen all.
func (c *Client) AuditLogs(ctx context.Context, f AuditFilter, p Page) (List[AuditRow], error) {
	return follow(p, func(p Page) (List[AuditRow], error) {
		q := url.Values{}
		for name, v := range map[string]string{"user_id": f.UserID, "action": f.Action, "resource": f.Resource, "from": f.From,
			"to": f.To} {
			if v != "" {
				q.Set(name, v)
			}
		}
		return list[AuditRow](ctx, c, "/audit/logs", q, p)
	})
}

// Enrolment is a second factor that is not active yet; it is shown once.
type Enrolment struct {
	Secret        string   `json:"secret"`
	URI           string   `json:"otpauth_uri"`
	RecoveryCodes []string `json:"recovery_codes"`
}

// EnrolTOTP starts a new TOTP factor for a user; an administrator may do it for others.
func (c *Client) EnrolTOTP(ctx context.Context, userID string) (Enrolment, error) {
	var e Enrolment
	_, err := c.do(ctx, post("/users/"+url.PathEscape(userID)+"/mfa/totp", nil), &e)
	return e, err
}
