package driver_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/driver"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

func TestOpen_embeddedAndMemory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, url := range []string{"", "embedded:", "memory:"} {
		db, err := driver.Open(t.Context(), driver.Options{URL: url, Dir: dir, Schema: storetest.Schema(),
			Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatalf("%q: %v", url, err)
		}
		_, err = db.Commit(t.Context(), store.Batch{Appends: []store.Append{{Stream: "events", Body: []byte("x")}}})
		if err != nil {
			t.Errorf("%q: %v", url, err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "store")); err != nil {
		t.Error(err)
	}
	db, err := driver.OpenReadOnly(dir, storetest.Schema())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if e, err := db.Read(t.Context(), "events", 0, 10); err != nil || e.Head != 2 {
		t.Errorf("head %d, %v; want the two entries of the embedded store", e.Head, err)
	}
}

func TestOpen_refusesURLs(t *testing.T) {
	t.Parallel()
	for url, code := range map[string]string{
		"surrealdb://root:hunter2@localhost:8000/a/b":          "store.password_in_url",
		"surrealdb://root:@localhost:8000/a/b":                 "store.password_in_url",
		"surrealdb://root@localhost:8000/a/b?password=hunter2": "store.url",
		"surrealdb:///a/b":              "store.url",
		"embedded:/elsewhere":           "store.url",
		"memory://hunter2":              "store.url",
		"postgres://x:hunter2@y":        "store.password_in_url",
		"postgres://y":                  "store.url",
		"surrealdb://a:hunter2@b:port/": "store.url",
	} {
		_, err := driver.Open(t.Context(), driver.Options{URL: url, Dir: t.TempDir(), Schema: storetest.Schema(),
			Log: slog.New(slog.DiscardHandler)})
		if fault.CodeOf(err) != code || !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v (%s), want %s", url, err, fault.CodeOf(err), code)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the message repeats the password", url)
		}
		if driver.Check(driver.Options{URL: url, Sync: "every"}) == nil {
			t.Errorf("%s: passes Check", url)
		}
	}
}

func TestCheck_refusesStandbyOfAStoreWithoutASecondInstance(t *testing.T) {
	t.Parallel()
	for url, refused := range map[string]bool{"": true, "embedded:": true, "memory:": true, "surrealdb://u@h:1/a/b": false} {
		err := driver.Check(driver.Options{URL: url, Sync: "every", Standby: true})
		if (err != nil) != refused || refused && fault.CodeOf(err) != "config.standby" {
			t.Errorf("%q: %v", url, err)
		}
	}
}
