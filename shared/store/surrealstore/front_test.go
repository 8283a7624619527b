package surrealstore

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	surrealdb "github.com/surrealdb/surrealdb.go"
	"github.com/surrealdb/surrealdb.go/pkg/connection"

	"github.com/provisioning-platform/platform/shared/store/surrealstore/surrealtest"
)

// raw connects to the server of a store URL without signing in.
func raw(t *testing.T, at string) (*surrealdb.DB, *socket) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	sock := newSocket(&url.URL{Scheme: "ws", Host: u.Host})
	db, err := surrealdb.FromConnection(t.Context(), sock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sock.Close(t.Context()) })
	return db, sock
}

func TestFront_refusesAnonymousCalls(t *testing.T) {
	t.Parallel()
	at, password := surrealtest.Start(t)
	db, _ := raw(t, at)
	ask := func() error {
		_, err := surrealdb.Query[any](t.Context(), db, "INFO FOR ROOT", nil)
		return err
	}
	if err := ask(); err == nil || !strings.Contains(err.Error(), "IAM") {
		t.Errorf("before the sign-in: %v", err)
	}
	if _, err := db.SignIn(t.Context(), map[string]any{"user": "root", "pass": password + "x"}); err == nil {
		t.Error("a wrong password signs in")
	}
	if err := ask(); err == nil {
		t.Error("a failed sign-in opens the front")
	}
	if _, err := db.SignIn(t.Context(), map[string]any{"user": "root", "pass": password}); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err != nil {
		t.Errorf("after the sign-in: %v", err)
	}
}

func TestFront_connectionsShareNoSession(t *testing.T) {
	t.Parallel()
	at, password := surrealtest.Start(t)
	names := []string{"one", "two"}
	connections := make([]*surrealdb.DB, len(names))
	for i, name := range names {
		db, sock := raw(t, at)
		connections[i] = db
		if _, err := db.SignIn(t.Context(), map[string]any{"user": "root", "pass": password}); err != nil {
			t.Fatal(err)
		}
		if err := db.Use(t.Context(), "front", name); err != nil {
			t.Fatal(err)
		}
		if err := connection.Send[any](sock, t.Context(), nil, "let", "mine", name); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range names {
		got, err := surrealdb.Query[string](t.Context(), connections[i], "RETURN $mine + session::db()", nil)
		if err != nil || (*got)[0].Result != name+name {
			t.Errorf("connection %s sees %v, %v", name, got, err)
		}
	}
}

func TestFront_refusesUnsafeSync(t *testing.T) {
	t.Parallel()
	surrealtest.Start(t) // installs
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, env string }{
		{"rocksdb://" + t.TempDir() + "/db?sync=never", ""},
		{"rocksdb://" + t.TempDir() + "/db", "SURREAL_DATASTORE_SYNC_DATA=never"},
	} {
		cmd := exec.CommandContext(t.Context(), "node", "server.mjs", "--path", c.path, "--password-file", password, "--listen",
			"127.0.0.1:0")
		cmd.Dir = filepath.Join("..", "..", "..", "deploy", "surrealdb")
		cmd.Env = append(os.Environ(), c.env)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "refused") {
			t.Errorf("%v: %v, %s", c, err, out)
		}
	}
}
