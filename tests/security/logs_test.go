package security

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/id"
)

// fillBodies sends a canary of its own as each text of every body, in forms that names and ids have
// and do not have. Some of them are stored, because they are names; none of them may be quoted by a
// log.
func (s *site) fillBodies(t *testing.T, c *canaries) {
	t.Helper()
	sent := 0
	for _, op := range s.operations(t) {
		if op.body == nil {
			continue
		}
		for _, name := range op.body.texts("") {
			for _, form := range []string{"%s", "=%s", "%s@example.com", "%s/%[1]s", "%s " + strings.Repeat("long ", 60)} {
				secret := "sent-in-a-body-" + id.Random()[:18]
				c.add(op.id+"."+name, secret)
				sent++
				body := op.body.with(strings.Split(name, "."), fmt.Sprintf(form, secret))
				for _, who := range []string{"admin+mfa", "viewer"} {
					s.send(t, op.service, op.method, op.url(nowhere), s.people[who].token, body)
				}
			}
		}
	}
	if sent < 100 {
		t.Errorf("only %d canaries were sent in bodies", sent)
	}
}

// sweepLogs searches the logs of both services.
func (s *site) sweepLogs(t *testing.T, dir string, c *canaries) {
	t.Helper()
	logs := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if name := d.Name(); err != nil || name != "orchestrator.log" && name != "control-center.log" {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(`"op":"executeRollback"`)) || bytes.Contains(b, []byte(`"op":"createUser"`)) {
			logs++ // of requests
		}
		for line := range bytes.Lines(b) {
			if found := c.in(line); found != nil {
				t.Errorf("%s quotes %v: %s", filepath.Base(path), found, line)
			}
		}
		return err
	})
	if err != nil || logs != 2 {
		t.Errorf("the sweep of the logs is blind: %d logs with requests, %v", logs, err)
	}
}
