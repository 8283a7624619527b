package bootstrap_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

func TestInit_writesPrivateFilesWithoutPlainSecrets(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	err := filepath.WalkDir(r.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v %v", path, info.Mode(), err)
		}
		if d.IsDir() {
			return nil
		}
		b, err := os.ReadFile(path)
		for _, s := range append(r.Admin.RecoveryCodes, r.Admin.Password, r.Admin.TOTPSecret) {
			if strings.Contains(string(b), s) {
				t.Errorf("%s holds a secret in the clear", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(r.Admin.OrchestratorCredential) || len(r.Admin.RecoveryCodes) != 10 || len(r.Admin.TOTPSecret) != 32 {
		t.Errorf("printed %+v", r.Admin)
	}
	if _, err := bootstrap.Init(context.Background(), bootstrap.Options{Dir: r.Dir}, time.Now()); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second init: %v", err)
	}
}

// TestImport_tellsWhatADeploymentBeginsWith: whoever follows the events from the first one on
// misses no account, factor, key and client.
func TestImport_tellsWhatADeploymentBeginsWith(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	want := []string{"user.created " + r.File.User.ID, "mfa.enrolled " + r.File.User.ID, "key.rotated " + r.File.Keys[0].ID,
		"client.created " + r.File.Client.ID}
	if got := r.Events(t); len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Errorf("the events are %q, want %q first", got, want)
	}
}

func TestInit_givenPasswordIsCheckedAndNotPrinted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir() + "/data"
	if _, err := bootstrap.Init(ctx, bootstrap.Options{Dir: dir, Password: secret.New("short")}, time.Now()); !fault.Is(err,
		fault.Invalid) {
		t.Fatalf("short: %v", err)
	}
	p, err := bootstrap.Init(ctx, bootstrap.Options{Dir: dir, Username: "root", Password: secret.New(controltest.Password)}, time.Now())
	if err != nil || p.Password != "" || p.Username != "root" {
		t.Fatalf("%+v %v", p, err)
	}
}

func TestImport_onceAndNeverAgain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t) // imported
	used, err := bootstrap.Load(r.Dir)
	if err != nil || used.UsedAt == nil {
		t.Fatalf("not marked as used: %v", err)
	}
	before, _ := r.DB.Read(ctx, audit.Stream, store.Latest, 0)
	if err := bootstrap.Import(ctx, r.DB, r.Dir, used, false, time.Now()); err != nil {
		t.Errorf("the next start: %v", err)
	}
	if page, _ := r.DB.Read(ctx, audit.Stream, store.Latest, 0); page.Head != before.Head {
		t.Errorf("%d entries more", page.Head-before.Head)
	}
	wiped := memstore.New(controltest.Schema())
	if err := bootstrap.Import(ctx, wiped, r.Dir, used, false, time.Now()); fault.CodeOf(err) != "bootstrap.used" ||
		!strings.Contains(err.Error(), "control-center init") {
		t.Errorf("a wiped store: %v", err)
	}
	if err := bootstrap.Import(ctx, wiped, r.Dir, used, true, time.Now()); err != nil {
		t.Errorf("a store in memory: %v", err)
	}
	other := controltest.New(t)
	if err := bootstrap.Import(ctx, other.DB, r.Dir, used, false, time.Now()); fault.CodeOf(err) != "bootstrap.other_deployment" {
		t.Errorf("another deployment's store: %v", err)
	}
	if _, err := bootstrap.Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "control-center init") {
		t.Errorf("not initialised: %v", err)
	}
}
