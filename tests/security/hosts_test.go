package security

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestAnswers_hostPathsAreForWhoMayUseTheServer is decision 66. Paths of keys and of the ssh
// configuration were in every answer about a batch. What somebody without that right is shown,
// lists and events included, holds no path of the orchestrator's machine.
func TestAnswers_hostPathsAreForWhoMayUseTheServer(t *testing.T) {
	s := shared
	other, err := s.hire(t.Context(), "hosts-other", "developer")
	if err != nil {
		t.Fatal(err)
	}
	events, stop := s.listen(t)
	defer stop()
	maker := s.people["developer"]
	run := func(who *person, id string, operations ...any) (batch string, tasks []string) {
		t.Helper()
		var b client.BatchRun
		s.send(t, "orchestrator", "POST", "/batch/execute", who.token,
			map[string]any{"name": "hosts-" + id, "rollback_enabled": false, "operations": operations}).data(t, &b)
		rigtest.Await(t, patience, "the batch has ended", func() bool {
			s.send(t, "orchestrator", "GET", "/batch/operations/"+b.BatchID, s.people["admin"].token, nil).data(t, &b)
			return b.Status == "Completed" || b.Status == "Failed"
		})
		for _, op := range b.Operations {
			tasks = append(tasks, op.TaskID)
		}
		return b.BatchID, tasks
	}
	server := map[string]any{"id": "a", "type": "server_batch", "provider": "real", "dependencies": []string{},
		"server_configs": []any{map[string]any{"name": "hosts-1"}}}
	service := map[string]any{"id": "b", "type": "taskserv_batch", "provider": "real", "dependencies": []string{"a"},
		"taskservs": []string{"os", "resolv"}}
	made, tasks := run(maker, "made", server, service)
	found, _ := run(other, "found", server)

	shows := func(who *person, path string) (paths, ssh bool) {
		t.Helper()
		a := s.send(t, "orchestrator", "GET", path, who.token, nil)
		if a.Status != 200 {
			t.Fatalf("%s reads %s: status %d: %s", who.name, path, a.Status, a.Raw)
		}
		return bytes.Contains(a.Raw, []byte(s.Dir)), bytes.Contains(a.Raw, []byte(`"ssh"`))
	}
	for _, path := range []string{"/batch/operations/" + made, "/tasks/" + tasks[0]} {
		for who, want := range map[*person]bool{maker: true, s.people["operator"]: true, s.people["admin"]: true, other: false,
			s.people["viewer"]: false, s.people["auditor"]: false} {
			if paths, ssh := shows(who, path); paths != want || ssh != want {
				t.Errorf("%s reads %s: paths %v, how to log in %v, want both %v", who.name, path, paths, ssh, want)
			}
		}
	}
	if paths, ssh := shows(other, "/batch/operations/"+found); paths || ssh {
		t.Errorf("asking for a server that somebody else made shows how to log in to it: paths %v, ssh %v", paths, ssh)
	}
	looked := 0
	for _, op := range s.operations(t) {
		if op.method != "GET" || op.service != "orchestrator" || op.id == "watchEvents" {
			continue
		}
		for _, id := range append([]string{made, found}, tasks...) {
			looked++
			if a := s.send(t, op.service, op.method, op.url(id), s.people["viewer"].token, nil); bytes.Contains(a.Raw, []byte(s.Dir)) {
				t.Errorf("%s shows a viewer a path of the orchestrator's machine: %s", op, excerpt(a.Raw, s.Dir))
			}
			if !strings.Contains(op.path, "{") {
				break
			}
		}
	}
	if looked < 15 {
		t.Errorf("only %d answers were looked at", looked)
	}
	if all := events(); !bytes.Contains(all, []byte(made)) || bytes.Contains(all, []byte(s.Dir)) {
		t.Errorf("the events do not show the batch, or a path: %s", excerpt(all, s.Dir))
	}
}

// excerpt returns what stands around a text.
func excerpt(raw []byte, text string) string {
	i := max(0, bytes.Index(raw, []byte(text)))
	return fmt.Sprintf("…%s…", raw[max(0, i-200):min(len(raw), i+200)])
}
