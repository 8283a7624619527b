package file

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWrite_replacesTheWholeFileAndLeavesNothingBeside(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if data, err := Read(folder, "a"); data != nil || err != nil {
		t.Errorf("no file is read as %q, %v", data, err)
	}
	for _, text := range []string{"long content", "short"} {
		if err := Write(folder, "a", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if data, err := Read(folder, "a"); string(data) != text || err != nil {
			t.Errorf("%q, %v", data, err)
		}
	}
	info, err := os.Stat(filepath.Join(folder, "a"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := Write(folder, "b/c", nil); err == nil {
		t.Error("a file of a folder that is not there is written")
	}
	if names, err := os.ReadDir(folder); len(names) != 1 || err != nil {
		t.Errorf("%v, %v", names, err)
	}
}
