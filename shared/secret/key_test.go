package secret_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/provisioning-platform/platform/shared/secret"
)

func TestMakeKey_isMadeOnceAndReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys", "one")
	keys := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = secret.MakeKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	read, err := secret.ReadKey(path)
	for _, k := range keys {
		if err != nil || len(k) != secret.KeySize || !bytes.Equal(k, read) {
			t.Errorf("%x, read %x: %v", k, read, err)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
	if other, err := secret.MakeKey(path + "2"); err != nil || bytes.Equal(other, read) {
		t.Errorf("another key: %v", err)
	}
}

func TestReadKey_refusesWhatOthersCanReadAndWhatIsNoKey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	path := filepath.Join(dir, "one")
	if _, err := secret.ReadKey(path); err == nil {
		t.Error("a key that is not there is read")
	}
	if _, err := secret.MakeKey(path); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		mode os.FileMode
	}{{path, 0o644}, {dir, 0o755}} {
		info, err := os.Stat(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(c.path, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := secret.MakeKey(path); err == nil || !strings.Contains(err.Error(), "chmod") {
			t.Errorf("mode %o of %s: %v", c.mode, c.path, err)
		}
		if err := os.Chmod(c.path, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.MakeKey(path); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("no key: %v", err)
	}
}
