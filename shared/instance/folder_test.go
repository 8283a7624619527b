package instance_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/instance"
)

// TestMake_aFolderThatOthersCanReadIsRefusedWithItsRepair: the keys and the store lie in it.
func TestMake_aFolderThatOthersCanReadIsRefusedWithItsRepair(t *testing.T) {
	t.Parallel()
	dir := instance.Folder(filepath.Join(t.TempDir(), "new", "data"))
	if err := dir.Make(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(string(dir)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	if err := os.Chmod(string(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := dir.Make(); err == nil || !strings.Contains(err.Error(), "chmod 700 "+string(dir)) {
		t.Errorf("others can read it: %v", err)
	}
}
