package rigtest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Folder returns the folder with the built binaries: bin of the repository, or PLATFORM_BIN. Tests
// run two folders below the repository.
func Folder() (string, error) {
	dir := os.Getenv("PLATFORM_BIN")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, "orchestrator")); err != nil {
		return "", errors.New("the binaries are not built; run: make build")
	}
	return dir, nil
}

// Binaries is Folder for a test.
func Binaries(t *testing.T) string {
	t.Helper()
	dir, err := Folder()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
