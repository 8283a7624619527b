package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFree_aTokenIsMadeThatNobodyCanKeep: the file that a token goes to is tried before the service
// is asked, for a token that cannot be written is lost and stays active.
func TestFree_aTokenIsMadeThatNobodyCanKeep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, good := range map[string]bool{
		"": true, filepath.Join(dir, "new"): true, there: false, filepath.Join(dir, "none", "new"): false,
		filepath.Join(there, "new"): false,
	} {
		if err := free(path); (err == nil) != good {
			t.Errorf("%q: %v", path, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v", left, err)
	}
}
