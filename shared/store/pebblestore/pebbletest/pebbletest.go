// Package pebbletest looks into the folder of a closed embedded store, for tests of what is left
// on disk.
//
// It owns nothing of the layout. The one rule a caller must know: the store is closed while a
// function of this package runs.
package pebbletest

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// Merge has the engine put all it has into as few tables as there can be, in the form that tables
// at rest have in a store: nothing that was deleted takes space afterwards.
func Merge(t testing.TB, dir string) {
	t.Helper()
	o := &pebble.Options{Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest}
	for i := range o.Levels {
		o.Levels[i].BlockSize = 32 << 10
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	db, err := pebble.Open(dir, o)
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
