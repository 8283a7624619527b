package app

import (
	"os"
	"testing"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store/driver"
)

// TestAudit_onTheFolderOfARunningServiceIsAConflict: the folder is somebody else's, which is no
// service that cannot be reached.
func TestAudit_onTheFolderOfARunningServiceIsAConflict(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := driver.Open(t.Context(), driver.Options{Dir: dir, Schema: Schema(), Log: obs.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := audit.MakeKeys(instance.Folder(dir).AuditKeys(), "d/audit/orchestrator"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(instance.Folder(dir).Audit(), 0o700); err != nil { // as if it had served before
		t.Fatal(err)
	}
	for _, verb := range [][]string{
		{"verify"}, {"export"}, {"subjects"}, {"archive", "--to", t.TempDir(), "--before", "2026-01-01"}, {"recover"},
		{"accept-fork", "--fingerprint", "f", "--reason", "r"},
	} {
		if code, out, errs := commandLine(nil, append(append([]string{"audit"}, verb...), "--data", dir)...); code != cli.ExitConflict ||
			out != "" {
			t.Errorf("audit %v ends with %d: %s%s", verb, code, out, errs)
		}
	}
}
