package client

import (
	"context"
	"net/url"
	"time"
)

// InventoryServer is a server of the inventory. SSH is set for who may use it: the argument vector
// of the system's ssh on the orchestrator's machine.
type InventoryServer struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Provider  string            `json:"provider"`
	Facts     map[string]string `json:"facts,omitempty"`
	SSH       []string          `json:"ssh,omitempty"`
	State     string            `json:"state"`
	Infra     string            `json:"infra,omitempty"`
	UpdatedAt time.Time         `json:"updated_at"`
	MadeBy    *ServerMaker      `json:"made_by,omitempty"`
	Taskservs []string          `json:"taskservs,omitempty"` // in the view of one server only
}

// ServerMaker says who made a server, by which task.
type ServerMaker struct {
	TaskID   string `json:"task_id"`
	BatchID  string `json:"batch_id,omitempty"`
	UserID   string `json:"user_id,omitempty"`
	Username string `json:"username,omitempty"`
}

// ServerFilter says which servers are asked for; an empty member is any.
type ServerFilter struct {
	Infra, Provider, State string
}

// Servers lists the servers that stand, by provider and name; it follows pages that end early.
func (c *Client) Servers(ctx context.Context, f ServerFilter, p Page) (List[InventoryServer], error) {
	return follow(p, func(p Page) (List[InventoryServer], error) {
		query := url.Values{}
		for name, value := range map[string]string{"infra": f.Infra, "provider": f.Provider, "state": f.State} {
			if value != "" {
				query.Set(name, value)
			}
		}
		return list[InventoryServer](ctx, c, "/inventory/servers", query, p)
	})
}

// Server returns one server by name.
func (c *Client) Server(ctx context.Context, name string) (InventoryServer, error) {
	var s InventoryServer
	_, err := c.do(ctx, get("/inventory/servers/"+url.PathEscape(name)), &s)
	return s, err
}
