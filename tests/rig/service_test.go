package rig

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// script returns a service whose binary is a shell script; after its first line it listens where a
// healthy test server does.
func script(t *testing.T, first, then string) *Service {
	t.Helper()
	healthy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(healthy.Close)
	dir := t.TempDir()
	s := &Service{Name: "script", Bin: filepath.Join(dir, "script"), Log: filepath.Join(dir, "log")}
	if err := os.WriteFile(s.Bin, []byte("#!/bin/sh\n"+first+"\necho listening "+healthy.URL+"\n"+then+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStop_aServiceThatDiedByItselfIsNoCleanEnd(t *testing.T) {
	end := filepath.Join(t.TempDir(), "end")
	s := script(t, "", "until [ -e "+end+" ]; do sleep 0.02; done; echo broken >&2; exit 3")
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(end, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if code, err := s.Stop(); code != 3 || err == nil || !strings.Contains(err.Error(), "broken") {
		t.Fatalf("exit code %d, error %v; want 3 and the end of the log", code, err)
	}
}

func TestStop_endsWithTheExitCodeAndIsCleanTheSecondTime(t *testing.T) {
	s := script(t, "trap 'exit 4' TERM", "while :; do sleep 1 & wait; done")
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, err := s.Stop(); code != 4 || err != nil {
		t.Fatalf("exit code %d, error %v; want 4", code, err)
	}
	if code, err := s.Stop(); code != 0 || err != nil {
		t.Fatalf("second Stop: exit code %d, error %v", code, err)
	}
}

func TestClose_afterAFailedStartIsNoPanic(t *testing.T) {
	dir := t.TempDir()
	r, err := Open(Options{Bin: filepath.Join(dir, "nothing"), Dir: dir}, Bootstrap{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.StartServices(t.Context()); err == nil {
		t.Fatal("a binary that does not exist was started")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}
