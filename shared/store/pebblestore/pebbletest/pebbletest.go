// Package pebbletest looks into the folder of a closed embedded store, for tests of what is left on disk.
//
// It owns nothing of the layout. The one rule a caller must know: the store is closed while a function of this package
// runs.
package pebbletest

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// Merge has the engine put all it has into as few tables as there can be: nothing that was deleted takes space afterwards.
func Merge(t testing.TB, dir string) {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Compact(t.Context(), []byte{0}, []byte{0xff}, false), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// quiet is an engine's logger that says nothing, but for what ends the process.
type quiet struct{ pebble.Logger }

// Infof implements pebble.Logger.
func (quiet) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (quiet) Errorf(string, ...any) {}

// TableBytes returns the size of the engine's tables.
func TableBytes(t testing.TB, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".sst" {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
