package simulated

import (
	"context"
	"io/fs"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
)

// Connect succeeds for a server that exists.
func (d *Driver) Connect(ctx context.Context, server provider.Server) (provider.Connection, error) {
	c := &connection{driver: d}
	err := d.call(ctx, Call{Action: "connect", ID: server.ID, Name: d.name(server.ID)}, func() error {
		var ok bool
		if c.server, ok = d.server(server.ID); !ok {
			return provider.Gone(server.Name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// connection is a provider.Connection that runs nothing.
type connection struct {
	driver *Driver
	server provider.Server
}

func (c *connection) call(action string, argv []string) Call {
	return Call{Action: action, Command: argv, ID: c.server.ID, Name: c.server.Name, Tag: c.server.Tag}
}

// Run records the command. A fault of class "permanent" for "run" is a command that ran and failed.
func (c *connection) Run(ctx context.Context, cmd provider.Command) (provider.Outcome, error) {
	err := c.driver.call(ctx, c.call("run", cmd.Argv), func() error { return nil })
	if e := provider.Classify(err); e != nil && e.Class == dag.Permanent {
		return provider.Outcome{Exit: 1, Simulated: true, Output: []byte(e.Message + "\n")}, nil
	}
	return provider.Outcome{Simulated: true}, err
}

// Upload records the path.
func (c *connection) Upload(ctx context.Context, name string, _ fs.FileMode, _ []byte) error {
	return c.driver.call(ctx, c.call("upload", []string{name}), func() error { return nil })
}

// Close does nothing.
func (c *connection) Close() error { return nil }
