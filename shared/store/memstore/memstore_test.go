package memstore_test

import (
	"testing"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) (store.DB, func() store.DB) {
		db := memstore.New(storetest.Schema())
		return db, func() store.DB { return db }
	})
}
