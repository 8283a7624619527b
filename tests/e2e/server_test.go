package e2e

import (
	"encoding/json"
	"testing"

	"github.com/provisioning-platform/platform/shared/client"
)

// TestCLI_servers makes a server, finds it, and runs a command on it, as an administrator; a viewer
// sees it and cannot log in.
func TestCLI_servers(t *testing.T) {
	s := newShell(t)
	s.run(t, verb{line: "orchestrator batch submit {near} --watch", out: "Completed"})
	s.run(t, verb{line: "orchestrator server list --provider near --state up", out: "near-1"})
	s.run(t, verb{line: "orchestrator server list --state up --provider fast -o json", out: "[]"})
	s.run(t, verb{line: "orchestrator server list --state none", code: exitUsage, err: "accepted"})
	out, _ := s.run(t, verb{line: "orchestrator server show near-1 -o json"})
	var one client.InventoryServer
	if err := json.Unmarshal([]byte(out), &one); err != nil || one.MadeBy == nil || one.MadeBy.Username != "admin" ||
		one.MadeBy.BatchID == "" || one.State != "up" {
		t.Errorf("%v %s", err, out)
	}
	s.run(t, verb{line: "orchestrator server show near-1", out: "orchestrator server ssh near-1"})
	s.run(t, verb{line: "orchestrator server show near-2", code: exitNotFound, err: "server list"})
	s.run(t, verb{line: "orchestrator server ssh near-1 -- echo over-ssh", out: "over-ssh"})
	s.run(t, verb{line: "orchestrator server ssh", code: exitUsage, err: "server list"})
	s.run(t, verb{line: "orchestrator server show near-1", as: "viewer", out: "near-1"})
	s.run(t, verb{line: "orchestrator server ssh near-1 -- true", as: "viewer", code: exitDenied, err: "servers:near-1"})
	s.run(t, verb{line: "orchestrator __complete server show ''", out: "near-1"})
}
