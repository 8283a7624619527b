package rigtest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Repository returns a path below the repository's root. Tests run two folders below it.
func Repository(t *testing.T, below ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"..", ".."}, below...)...))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Need returns the path of a program that must be there.
func Need(t *testing.T, program, install string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not on this machine; these tests need it: install %s", program, install)
	}
	return path
}

// installed returns the folder .cache/e2e/NAME after fill has filled it once for this version of
// the pinned files.
func installed(t *testing.T, name string, pins []string, fill func(dir string) error) string {
	t.Helper()
	dir := Repository(t, ".cache", "e2e", name)
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

// Python returns the interpreter of the virtual environment .cache/e2e/NAME with the packages that
// a file of tests/e2e/testdata pins.
func Python(t *testing.T, name, pins, install string) string {
	t.Helper()
	python := Need(t, "python3", install)
	dir := installed(t, name, []string{Repository(t, "tests", "e2e", "testdata", pins)}, func(dir string) error {
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

// Node returns node and the package.json beside which the packages are that a folder of
// tests/e2e/testdata pins.
func Node(t *testing.T, folder string) (program, packages string) {
	t.Helper()
	program = Need(t, "node", "Node.js 20 or later with npm (Debian: nodejs npm)")
	npm := Need(t, "npm", "Node.js 20 or later with npm (Debian: nodejs npm)")
	from := Repository(t, "tests", "e2e", "testdata", folder)
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

// PrintedClients returns the programs that run the client examples of the API reference, with the
// packages these need: Python, Node, and the package.json beside which Node's packages are.
func PrintedClients(t *testing.T) (python, node, packages string) {
	t.Helper()
	python = Python(t, "python", "requirements.txt", "Python 3.8 or later with its venv module (Debian: python3 python3-venv)")
	node, packages = Node(t, "node")
	return python, node, packages
}
