package driver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/driver"
)

func TestSettings_passwordOnlyByFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("surrealdb://root:hush@db:8000/p/cc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := driver.Settings{URL: "embedded:", Sync: "every"}.Options("d", file, store.Schema{}, obs.Discard())
	if err != nil || o.Password.Reveal() != "hush" || strings.Contains(o.URL, "hush") || o.URL != "surrealdb://root@db:8000/p/cc" {
		t.Fatalf("%+v %v", o.URL, err)
	}
	_, err = driver.Settings{URL: "surrealdb://root:hush@db:8000/p/cc"}.Options("d", "", store.Schema{}, obs.Discard())
	if !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "hush") {
		t.Errorf("a password in the URL: %v", err)
	}
}
