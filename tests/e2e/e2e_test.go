// Package e2e runs what a user would: the client programs of the API reference as they are printed
// there, and both command lines, against the built binaries with the sample installation.
//
// The one rule: a program that is missing on the machine fails the test with the name of what to
// install; nothing is skipped silently.
package e2e

import (
	"testing"

	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// absolute returns a path below the repository's root.
func absolute(t *testing.T, below ...string) string {
	t.Helper()
	return rigtest.Repository(t, below...)
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

// processesBelow is rig.ProcessesBelow.
func processesBelow(t *testing.T, dir string) []rig.Process {
	t.Helper()
	found, err := rig.ProcessesBelow(dir)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
