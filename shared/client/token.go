package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/secret"
)

// APIToken is an API token as the API shows it.
type APIToken struct {
	ID        string      `json:"id"`
	Name      string      `json:"name"`
	State     string      `json:"state"` // "active", "retiring", "expired", "revoked" or "suspended"
	Reason    string      `json:"reason,omitempty"`
	Owner     string      `json:"owner"`
	OwnerName string      `json:"owner_name"`
	Scope     authz.Scope `json:"scope"`
	MFA       bool        `json:"mfa"`
	CreatedAt time.Time   `json:"created_at"`
	CreatedBy string      `json:"created_by"`
	ExpiresAt time.Time   `json:"expires_at"`
	LastUsed  *time.Time  `json:"last_used_at"`
	RevokedAt *time.Time  `json:"revoked_at,omitempty"`
	Successor string      `json:"successor,omitempty"`
}

// NewAPIToken describes an API token to make.
type NewAPIToken struct {
	Name      string      `json:"name"`
	Scope     authz.Scope `json:"scope"`
	ExpiresAt time.Time   `json:"expires_at"`
	Account   string      `json:"service_account,omitempty"` // id of the service account that it acts for; empty: the caller
}

// shownToken is the answer that shows the text of a token.
type shownToken struct {
	APIToken
	Token string `json:"token"`
}

// APITokens lists the API tokens of an owner, newest first; the caller's own when owner is empty.
func (c *Client) APITokens(ctx context.Context, owner string, p Page) (List[APIToken], error) {
	q := url.Values{}
	if owner != "" {
		q.Set("owner", owner)
	}
	return list[APIToken](ctx, c, "/tokens", q, p)
}

// APIToken returns one API token.
func (c *Client) APIToken(ctx context.Context, id string) (APIToken, error) {
	var t APIToken
	_, err := c.do(ctx, get("/tokens/"+url.PathEscape(id)), &t)
	return t, err
}

// CreateAPIToken makes an API token and returns it with its text, which nothing shows again.
func (c *Client) CreateAPIToken(ctx context.Context, n NewAPIToken) (APIToken, secret.Text, error) {
	var t shownToken
	_, err := c.do(ctx, post("/tokens", n), &t)
	return t.APIToken, secret.New(t.Token), err
}

// RotateAPIToken makes a successor of an API token, which stays good for overlap, and returns it
// with its text. expires is the end of the successor; zero: it lives as long as the old one was
// made for.
func (c *Client) RotateAPIToken(ctx context.Context, id string, overlap time.Duration, expires time.Time) (APIToken, secret.Text, error) {
	body := map[string]any{"overlap_seconds": int64(overlap / time.Second)}
	if !expires.IsZero() {
		body["expires_at"] = expires
	}
	var t shownToken
	_, err := c.do(ctx, post("/tokens/"+url.PathEscape(id)+"/rotate", body), &t)
	return t.APIToken, secret.New(t.Token), err
}

// RevokeAPIToken revokes an API token.
func (c *Client) RevokeAPIToken(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: "/tokens/" + url.PathEscape(id)}, nil)
	return err
}
