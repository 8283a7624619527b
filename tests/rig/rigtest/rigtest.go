// Package rigtest is the rig for tests: installations that end with the test and must end cleanly.
// It owns no assertion about the product; the suites do.
package rigtest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/store/surrealstore/surrealtest"
	"github.com/provisioning-platform/platform/tests/rig"
)

// Start starts an installation that ends with the test; each service must end with exit code 0.
func Start(t *testing.T, o rig.Options) *rig.Rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := rig.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// Prepare returns an installation that is not started yet. Whatever of it runs when the test ends
// is stopped, also after a start that failed halfway, and must end with exit code 0.
func Prepare(t *testing.T, o rig.Options) *rig.Rig {
	t.Helper()
	r, err := rig.Prepare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// UseSurreal points an installation at a fresh database, which both services share (decision 1).
func UseSurreal(t *testing.T, o *rig.Options) {
	t.Helper()
	url, password := surrealtest.Start(t)
	useSurreal(t, o, url, password)
}

// UseOwnSurreal is UseSurreal with an engine of the test's own, which stop takes away.
func UseOwnSurreal(t *testing.T, o *rig.Options) (stop func()) {
	t.Helper()
	url, password, stop := surrealtest.Separate(t)
	useSurreal(t, o, url, password)
	return stop
}

// KeepSurreal points each service at a database of its own in the folder DIR/NAME-database, so that
// what one of them stores can be put back without the other's.
func KeepSurreal(t *testing.T, o *rig.Options) map[string]*surrealtest.KeptServer {
	t.Helper()
	engines := map[string]*surrealtest.KeptServer{}
	for name, store := range map[string]*string{"orchestrator": &o.OrchestratorStore, "control-center": &o.ControlCenterStore} {
		k := surrealtest.Keep(t, filepath.Join(o.Dir, name+"-database"))
		file := filepath.Join(o.Dir, name+"-store-password")
		if err := os.WriteFile(file, []byte(k.Password), 0o600); err != nil {
			t.Fatal(err)
		}
		prefix := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		o.Env = append(o.Env, prefix+"_STORE_PASSWORD_FILE="+file, prefix+"_STORE_SYNC=every")
		engines[name], *store = k, k.URL
	}
	return engines
}

func useSurreal(t *testing.T, o *rig.Options, url, password string) {
	t.Helper()
	file := filepath.Join(o.Dir, "store-password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	o.OrchestratorStore, o.ControlCenterStore = url, url
	o.Env = append(o.Env, "ORCHESTRATOR_STORE_PASSWORD_FILE="+file, "CONTROL_CENTER_STORE_PASSWORD_FILE="+file,
		"ORCHESTRATOR_STORE_SYNC=every", "CONTROL_CENTER_STORE_SYNC=every")
}
