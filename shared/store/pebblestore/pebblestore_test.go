package pebblestore

import (
	"log/slog"
	"testing"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

var quiet = slog.New(slog.DiscardHandler)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) (store.DB, func() store.DB) {
		dir := t.TempDir()
		open := func() store.DB {
			db, err := Open(dir, storetest.Schema(), quiet)
			if err != nil {
				t.Fatal(err)
			}
			return db
		}
		db := open()
		return db, func() store.DB {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			return open()
		}
	})
}

func TestList_stopsWithItsCaller(t *testing.T) {
	t.Parallel()
	db, err := Open(t.TempDir(), storetest.Schema(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	storetest.StopsWithItsCaller(t, db)
}
