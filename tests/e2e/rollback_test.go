package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestRollback_previewSaysWhatItWouldDo looks at a rollback before it is done, by API and command
// line, with and without recreate, and at what was done between two checkpoints. Nothing changes.
func TestRollback_previewSaysWhatItWouldDo(t *testing.T) {
	s := newShell(t)
	s.run(t, verb{line: "orchestrator checkpoint create before"})
	out, _ := s.run(t, verb{line: "orchestrator batch submit {fast} --watch -o json"})
	var b client.BatchRun
	if err := json.Unmarshal([]byte(out), &b); err != nil {
		t.Fatal(err)
	}
	s.run(t, verb{line: "orchestrator checkpoint create after"})
	s.values["batch"] = b.BatchID
	for _, line := range []string{"--checkpoint before", "--batch fast", "--operation {batch}/servers", "--checkpoint before --recreate"} {
		out, _ := s.run(t, verb{line: "orchestrator rollback preview " + line + " -o json"})
		var p client.RollbackPreview
		if err := json.Unmarshal([]byte(out), &p); err != nil || p.OperationsPlanned != 1 || p.Irreversible != 0 || len(p.Operations) != 1 {
			t.Fatalf("%s: %v %s", line, err, out)
		}
		if op := p.Operations[0]; op.BatchID != b.BatchID || op.OperationID != "servers" || len(op.Steps) != 1 ||
			op.Steps[0].Action != "server.create" || !op.Steps[0].Reversible || op.Steps[0].Recreates {
			t.Errorf("%s: %+v", line, op)
		}
	}
	s.run(t, verb{line: "orchestrator rollback preview --checkpoint before", out: "fast-1"})
	s.run(t, verb{line: "orchestrator rollback preview --checkpoint before", as: "viewer", code: exitDenied})
	s.run(t, verb{line: "orchestrator rollback preview --checkpoint nothing", code: exitNotFound, err: "checkpoint list"})
	s.run(t, verb{line: "orchestrator rollback preview", code: exitUsage, err: "--checkpoint, --batch or --operation"})
	for _, line := range []string{"before after", "after before"} { // in either order
		out, _ := s.run(t, verb{line: "orchestrator checkpoint diff " + line + " -o json"})
		var d client.CheckpointDiff
		if err := json.Unmarshal([]byte(out), &d); err != nil || d.From.Name != "before" || d.To.Name != "after" || d.SameInventory ||
			d.OperationsCount != 1 || len(d.Operations) != 1 || d.Operations[0].OperationID != "servers" {
			t.Errorf("%s: %v %s", line, err, out)
		}
	}
	s.run(t, verb{line: "orchestrator checkpoint diff before nothing", code: exitNotFound})
	api := s.Orch(s.Token)
	if _, err := api.PreviewRollback(t.Context(), client.RollbackRequest{OperationIDs: []string{"nothing"}}); err == nil {
		t.Error("a preview of an operation that does not exist is no error")
	}
	if l, err := api.Rollbacks(t.Context(), client.Page{}); err != nil || len(l.Rows) != 0 {
		t.Errorf("previews are rollbacks: %+v %v", l.Rows, err)
	}
	s.run(t, verb{line: "orchestrator rollback execute --checkpoint before --recreate --yes", out: "1", err: "made again, empty"})
	s.run(t, verb{line: "orchestrator rollback preview --batch fast -o json", out: `"operations_planned": 0`})
	s.run(t, verb{line: "orchestrator checkpoint diff before after -o json", out: `"operations_count": 0`})
}

// submitText submits a batch of operations with further members and returns it as it ended.
func (s *shell) submitText(t *testing.T, name, members, operations string, code int) client.BatchRun {
	t.Helper()
	s.values[name] = filepath.Join(s.Dir, name+".json")
	write(t, s.values[name], fmt.Sprintf(`{"name":%q,"version":"1.0.0","storage_backend":"filesystem","parallel_limit":1,%s,"operations":[%s]}`,
		name, members, operations))
	out, _ := s.run(t, verb{line: "orchestrator batch submit {" + name + "} --watch -o json", code: code})
	var b client.BatchRun
	if err := json.Unmarshal([]byte(out), &b); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	shown, err := s.Orch(s.Token).Batch(t.Context(), b.BatchID)
	if err != nil {
		t.Fatal(err)
	}
	return shown
}

// operationText is an operation of a batch that makes one server of its own name.
func operationText(name, provider, dependency string) string {
	if dependency != "" {
		dependency = `"` + dependency + `"`
	}
	return fmt.Sprintf(`{"id":%q,"type":"server_batch","provider":%q,"dependencies":[%s],"server_configs":[{"name":"own-%s"}]}`, name,
		provider, dependency, name)
}

// TestBatch_checkpointIntervalTakesCheckpoints: a batch that asks for a checkpoint after every
// operation has an automatic one, to which a rollback goes; a batch that does not ask has none.
func TestBatch_checkpointIntervalTakesCheckpoints(t *testing.T) {
	s := newShell(t)
	automatic := func() []client.Checkpoint {
		t.Helper()
		l, err := s.Orch(s.Token).AutomaticCheckpoints(t.Context(), client.Page{})
		if err != nil {
			t.Fatal(err)
		}
		return l.Rows
	}
	s.submitText(t, "plain", `"checkpoint_interval":0`, operationText("p1", "fast", "")+","+operationText("p2", "fast", "p1"), exitOK)
	if got := automatic(); len(got) != 0 {
		t.Errorf("nobody asked for %+v", got)
	}
	s.submitText(t, "paced", `"checkpoint_interval":1`, operationText("a", "fast", "")+","+operationText("b", "fast", "a"), exitOK)
	rigtest.Await(t, 20*time.Second, "the automatic checkpoint is listed", func() bool { return len(automatic()) > 0 })
	got := automatic()
	if first := got[len(got)-1]; !first.Automatic || first.Name != "paced after 1 operations" {
		t.Errorf("%+v", got)
	}
	s.values["auto"] = got[len(got)-1].ID
	s.run(t, verb{line: "orchestrator rollback preview --checkpoint {auto}", out: "own-b"})
	s.run(t, verb{line: "orchestrator rollback execute --checkpoint {auto} --yes", out: "1"})
	if l, err := s.Orch(s.Token).Checkpoints(t.Context(), client.Page{}); err != nil || len(l.Rows) != len(got) {
		t.Errorf("%+v %v", l.Rows, err)
	}
	s.values["bad"] = filepath.Join(s.Dir, "bad.json")
	write(t, s.values["bad"], `{"name":"bad","checkpoint_interval":-1,"operations":[`+operationText("x", "fast", "")+`]}`)
	s.run(t, verb{line: "orchestrator batch submit {bad}", code: exitUsage, err: "checkpoint_interval"})
}

// TestBatch_preserveSuccessfulKeepsWhatSucceeded: the rollback of a batch that failed leaves what
// succeeded when it says so, and takes it away when it does not.
func TestBatch_preserveSuccessfulKeepsWhatSucceeded(t *testing.T) {
	s := newShell(t)
	for name, members := range map[string]string{"kept": `"rollback_enabled":true,"preserve_successful":true`,
		"undone": `"rollback_enabled":true`} {
		operations := operationText(name+"1", "fast", "") + "," + operationText(name+"2", "broken", name+"1")
		b := s.submitText(t, name, members, operations, exitRunFailed)
		if first := b.Operations[0]; first.Status != "Completed" || (first.RolledBackAt == nil) != (name == "kept") {
			t.Errorf("%s: %+v", name, first)
		}
		out, _ := s.run(t, verb{line: "orchestrator server list -o json"})
		if there := strings.Contains(out, "own-"+name+"1"); there != (name == "kept") {
			t.Errorf("the servers after a batch that is to be %s: %s", name, out)
		}
	}
}
