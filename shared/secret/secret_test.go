package secret_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/secret"
)

func TestText_hasNoPrintableForm(t *testing.T) {
	t.Parallel()
	v := secret.New("hunter2")
	raw, err := json.Marshal(map[string]any{"a": v, "b": &v, "c": []secret.Text{v}, "d": struct{ S secret.Text }{v}})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{v.String(), fmt.Sprint(v), fmt.Sprintf("%v %+v %#v %s %q %x %d", v, v, v, v, v, v, v),
		fmt.Sprintf("%+v", struct{ S *secret.Text }{&v}), fmt.Sprint(v.LogValue()), string(raw)} {
		if strings.Contains(shown, "hunter2") || strings.Contains(shown, "68756e74657232") {
			t.Error(shown)
		}
	}
	if v.Reveal() != "hunter2" || !v.Equal(secret.New("hunter2")) || v.Equal(secret.New("hunter")) {
		t.Error("the value itself")
	}
}

// TestFromFile_onlyTheOwnerReads is S04: a loose mode is refused with the command that repairs it.
func TestFromFile_onlyTheOwnerReads(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o644, 0o610} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := secret.FromFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("%o: %v", mode, err)
		}
		if err := secret.Private(path, 0o600); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("%o: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if v, err := secret.FromFile(path); err != nil || v.Reveal() != "hunter2" || secret.Private(path, 0o600) != nil {
			t.Errorf("%o: %v", mode, err)
		}
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.FromFile(path); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Error(err)
	}
}

// A credential that systemd hands to a service of a dynamic user has mode 0440; it was refused as
// readable by others.
func TestFromFile_systemdCredentialWithAnAccessListIsRead(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir+"/")
	for _, c := range []struct {
		path string
		mode os.FileMode
		read bool
	}{
		{filepath.Join(dir, "token"), 0o440, true},
		{filepath.Join(dir, "open"), 0o444, false},
		{filepath.Join(elsewhere, "token"), 0o440, false},
	} {
		if err := os.WriteFile(c.path, []byte("hunter2"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(c.path, c.mode); err != nil {
			t.Fatal(err)
		}
		if v, err := secret.FromFile(c.path); (err == nil) != c.read || c.read && v.Reveal() != "hunter2" {
			t.Errorf("%s with mode %o: %v", c.path, c.mode, err)
		}
	}
}
