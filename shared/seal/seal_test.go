package seal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/seal"
)

// TestSealer_opensOnlyAtItsPlace is S02: a ciphertext opens only at its kind, id and field.
func TestSealer_opensOnlyAtItsPlace(t *testing.T) {
	t.Parallel()
	s, err := seal.Make(t.TempDir() + "/keys")
	if err != nil {
		t.Fatal(err)
	}
	other, _ := seal.Make(t.TempDir() + "/keys")
	sealed := s.Seal("factor", "u1", "secret", []byte("the seed"))
	if plain, err := s.Open("factor", "u1", "secret", sealed); err != nil || string(plain) != "the seed" {
		t.Fatalf("%q %v", plain, err)
	}
	if strings.Contains(sealed, "the seed") || sealed == s.Seal("factor", "u1", "secret", []byte("the seed")) {
		t.Fatal("not sealed, or the same twice")
	}
	for what, open := range map[string]func() ([]byte, error){
		"another id":    func() ([]byte, error) { return s.Open("factor", "u2", "secret", sealed) },
		"another kind":  func() ([]byte, error) { return s.Open("user", "u1", "secret", sealed) },
		"another field": func() ([]byte, error) { return s.Open("factor", "u1", "other", sealed) },
		"another key":   func() ([]byte, error) { return other.Open("factor", "u1", "secret", sealed) },
	} {
		if _, err := open(); err == nil {
			t.Errorf("opened at %s", what)
		}
	}
	for i := range sealed {
		bad := []byte(sealed)
		bad[i] ^= 1
		if plain, err := s.Open("factor", "u1", "secret", string(bad)); err == nil && string(plain) != "the seed" {
			t.Errorf("byte %d changed unnoticed", i)
		}
	}
}

func TestOpenSealer_refusesFilesThatOthersCanRead(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := seal.Make(dir); err != nil {
		t.Fatal(err)
	}
	for path, loose := range map[string]os.FileMode{filepath.Join(dir, "kek"): 0o640, dir: 0o755} {
		info, _ := os.Stat(path)
		if err := os.Chmod(path, loose); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.Open(dir); err == nil || !strings.Contains(err.Error(), "chmod") {
			t.Errorf("%s with mode %o: %v", path, loose, err)
		}
		_ = os.Chmod(path, info.Mode())
	}
}
