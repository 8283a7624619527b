package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// ServiceAccount is a service account as the API shows it.
type ServiceAccount struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Username    string    `json:"username"`
	Description string    `json:"description"`
	Roles       []string  `json:"roles"`
	Enabled     bool      `json:"enabled"`
	Owner       string    `json:"owner"`
	OwnerName   string    `json:"owner_name"`
	OwnerState  string    `json:"owner_state"` // "enabled", "disabled" or "deleted"
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// ServiceAccountInput is the body that makes or changes a service account; of a change what is nil
// stays, and Name cannot be changed.
type ServiceAccountInput struct {
	Name        string   `json:"name,omitempty"`
	Description *string  `json:"description,omitempty"`
	Roles       []string `json:"roles,omitempty"`
	Owner       *string  `json:"owner,omitempty"` // id of a person's account
	Enabled     *bool    `json:"enabled,omitempty"`
}

// ServiceAccounts lists service accounts, newest first; only the one with that name when it is not
// empty.
func (c *Client) ServiceAccounts(ctx context.Context, name string, p Page) (List[ServiceAccount], error) {
	q := url.Values{}
	if name != "" {
		q.Set("name", name)
	}
	return list[ServiceAccount](ctx, c, "/service-accounts", q, p)
}

// ServiceAccount returns one service account.
func (c *Client) ServiceAccount(ctx context.Context, id string) (ServiceAccount, error) {
	var s ServiceAccount
	_, err := c.do(ctx, get("/service-accounts/"+url.PathEscape(id)), &s)
	return s, err
}

// CreateServiceAccount creates a service account.
func (c *Client) CreateServiceAccount(ctx context.Context, in ServiceAccountInput) (ServiceAccount, error) {
	var s ServiceAccount
	_, err := c.do(ctx, post("/service-accounts", in), &s)
	return s, err
}

// UpdateServiceAccount changes a service account.
func (c *Client) UpdateServiceAccount(ctx context.Context, id string, in ServiceAccountInput) error {
	_, err := c.do(ctx, call{method: http.MethodPut, path: "/service-accounts/" + url.PathEscape(id), body: in}, nil)
	return err
}

// DeleteServiceAccount removes a service account.
func (c *Client) DeleteServiceAccount(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: "/service-accounts/" + url.PathEscape(id)}, nil)
	return err
}
