package auditlog

import (
	"time"

	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// Class is what retention removes of the index: rows by the time of their entries. The entries
// stay in their logs, and a row that says that an entry cannot be read stays too.
func Class(db store.DB, rule retention.KeepRule) retention.Class {
	q := store.Query{Kind: Table.Kind, After: store.Cursor{ID: unreadable + "~"}}
	return retention.Rows(db, "audit_index", q, rule, func(d store.Doc) time.Time {
		r, err := Table.Decode(d)
		if err != nil {
			return time.Time{}
		}
		return r.Timestamp
	})
}
