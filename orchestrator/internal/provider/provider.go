// Package provider is the port to infrastructure: what the orchestrator asks of a cloud, and how a
// cloud says no. Drivers (local, simulated, later upcloud and aws) live in folders below; named
// instances of them come from the configuration ([providers.upcloud] driver = "local").
//
// It does not know tasks, steps or the inventory: package operation translates.
//
// The one rule: every effect carries the caller's tag, stored before the call. Create with a tag
// that exists returns the server that is there, Delete of what is gone succeeds, and Find answers
// by tag, so that a repeated call after a crash never makes a second server. Two tags never share a
// name.
package provider

import (
	"context"
	"io/fs"
)

// Spec says what server is wanted. Tag is the idempotency tag of the effect.
type Spec struct {
	Tag  string
	Name string
	Plan string
	Zone string
	Wait bool // return only when the server answers; otherwise as soon as the provider has accepted
}

// Server is a server as its provider knows it.
type Server struct {
	ID    string            `json:"id"` // the provider's id
	Tag   string            `json:"tag"`
	Name  string            `json:"name"`
	Plan  string            `json:"plan,omitempty"`
	Zone  string            `json:"zone,omitempty"`
	Facts map[string]string `json:"facts,omitempty"` // for everybody, and kept in the inventory: address, port, user …; never a secret, never a path of this machine
}

// Driver is one account at one provider. All methods may be called concurrently.
type Driver interface {
	// Create makes the server, or returns the one that has spec.Tag already. A name is given once:
	// while a server under another tag has it, the error is Taken. When ctx is cancelled, its own
	// error says that nothing was made; see Begun.
	Create(ctx context.Context, spec Spec) (Server, error)
	// Delete ends the server with that ID if it carries that Tag; gone already is success.
	Delete(ctx context.Context, server Server) error
	// Find returns the server that carries the tag.
	Find(ctx context.Context, tag string) (Server, bool, error)
	// List returns all servers of this account that carry a tag of ours, ordered by ID. It leaves
	// none out without an error: who is not in it counts as gone.
	List(ctx context.Context) ([]Server, error)
	// Connect opens a connection over which commands run on the server; the error is Gone when
	// there is none. Only ID is looked at.
	Connect(ctx context.Context, server Server) (Connection, error)
}

// Reacher is a Driver whose servers are reached with files of this machine. They are asked for when
// somebody who may use the server looks at it, and kept nowhere: a data folder is moved and copied,
// and then they are others.
type Reacher interface {
	// Reach returns what the system's ssh needs for the server with that ID, which may be gone:
	// "ssh_config" and the like.
	Reach(id string) map[string]string
}

// Connection runs commands on one server. It is used by one goroutine at a time.
type Connection interface {
	// Run starts an argument vector without a shell and waits for its end. The error is about the
	// connection; a command that ran and failed has an Exit. When ctx ends first, the command's
	// process group is ended.
	Run(ctx context.Context, cmd Command) (Outcome, error)
	// Upload writes a file, making its folder. A relative path starts at the server's root.
	Upload(ctx context.Context, path string, mode fs.FileMode, content []byte) error
	// Close ends the connection and whatever still runs over it.
	Close() error
}

// Command is what to run: Argv[0] is a path, or a name looked up on the server.
type Command struct {
	Argv  []string
	Env   map[string]string // visible in the server's process table: never a secret
	Stdin []byte
}

// Outcome is what a command came to. Output is its standard output and error as they came, at most
// OutputLimit bytes; Dropped counts the bytes beyond.
type Outcome struct {
	Output    []byte
	Exit      int
	Dropped   int64
	Simulated bool // nothing ran: there is nothing to read back
}

// OutputLimit is how much output of one command is kept in memory (bytes).
const OutputLimit = 1 << 20
