package certificate_test

import (
	"os"
	"testing"

	"github.com/provisioning-platform/platform/control-center/internal/certificate"
	"github.com/provisioning-platform/platform/shared/instance"
)

// readCA returns the file with the only authority of a folder.
func readCA(t *testing.T, dir instance.Folder) []byte {
	t.Helper()
	files := certificate.Files(dir)
	if len(files) != 1 {
		t.Fatalf("the folder has %v", files)
	}
	info, err := os.Stat(files[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return text
}
