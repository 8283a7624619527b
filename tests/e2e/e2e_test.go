// Package e2e runs what a user would: the client programs of the API reference as they are printed
// there, and both command lines, against the built binaries with the sample installation.
//
// The one rule: a program that is missing on the machine fails the test with the name of what to
// install; nothing is skipped silently.
package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// root of the repository, seen from here.
const root = "../.."

// absolute returns a path below the repository's root.
func absolute(t *testing.T, below ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{root}, below...)...))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// sample returns the options of the sample installation, as make run starts it.
func sample(t *testing.T) rig.Options {
	t.Helper()
	o, err := rig.Sample(absolute(t), rigtest.Binaries(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// need returns the path of a program that must be there.
func need(t *testing.T, program, install string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not on this machine; these tests need it: install %s", program, install)
	}
	return path
}

// installed returns the folder .cache/e2e/NAME after make has filled it once for this version of
// the pinned files.
func installed(t *testing.T, name string, pins []string, fill func(dir string) error) string {
	t.Helper()
	dir := absolute(t, ".cache", "e2e", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for _, p := range pins {
		raw, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(raw)
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(p)), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, stamp := hex.EncodeToString(sum.Sum(nil)), filepath.Join(dir, "complete")
	if got, err := os.ReadFile(stamp); err == nil && string(got) == want {
		return dir
	}
	if err := fill(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stamp, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// python returns the interpreter of a virtual environment with the packages of the reference's
// client program.
func python(t *testing.T) string {
	t.Helper()
	return venv(t, "python", "requirements.txt", "Python 3.8 or later with its venv module (Debian: python3 python3-venv)")
}

// venv returns the interpreter of a virtual environment with the packages that a file below
// testdata pins.
func venv(t *testing.T, name, pins, install string) string {
	t.Helper()
	python := need(t, "python3", install)
	dir := installed(t, name, []string{filepath.Join("testdata", pins)}, func(dir string) error {
		if out, err := exec.Command(python, "-m", "venv", "--clear", filepath.Join(dir, "venv")).CombinedOutput(); err != nil {
			return fmt.Errorf("python3 makes no virtual environment (%w); install its venv module (Debian: python3-venv): %s", err, out)
		}
		out, err := exec.Command(filepath.Join(dir, "venv", "bin", "python"), "-m", "pip", "install", "--disable-pip-version-check", "-q",
			"-r", filepath.Join(dir, pins)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("pip could not install the pinned packages (is a package index reachable? needed is %s): %w: %s", install,
				err, out)
		}
		return nil
	})
	return filepath.Join(dir, "venv", "bin", "python")
}

// node returns node and the package.json beside which the packages of the printed clients are.
func node(t *testing.T) (program, packages string) {
	t.Helper()
	return nodeWith(t, "node")
}

// nodeWith returns node and the package.json beside which the packages are that a folder below
// testdata pins.
func nodeWith(t *testing.T, folder string) (program, packages string) {
	t.Helper()
	program = need(t, "node", "Node.js 20 or later with npm (Debian: nodejs npm)")
	npm := need(t, "npm", "Node.js 20 or later with npm (Debian: nodejs npm)")
	from := filepath.Join("testdata", folder)
	dir := installed(t, folder, []string{filepath.Join(from, "package.json"), filepath.Join(from, "package-lock.json"),
		filepath.Join(from, ".npmrc")}, func(dir string) error {
		cmd := exec.Command(npm, "ci")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("npm ci failed (is a registry reachable?): %w: %s", err, out)
		}
		return nil
	})
	return program, filepath.Join(dir, "package.json")
}

// processesBelow is rig.ProcessesBelow.
func processesBelow(t *testing.T, dir string) []rig.Process {
	t.Helper()
	found, err := rig.ProcessesBelow(dir)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
