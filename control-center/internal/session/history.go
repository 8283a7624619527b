package session

import (
	"time"

	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// Classes returns what retention removes of this package: sessions and refresh tokens, by the time
// of their end. Nothing depends on them then: Refresh refuses an ended session whether it is stored
// or not, and a used refresh token ends with its session.
func Classes(db store.DB, rule retention.KeepRule) []retention.Class {
	return []retention.Class{
		retention.Rows(db, "sessions", store.Query{Kind: sessions.Kind, Index: "ends"}, rule, endOf),
		retention.Rows(db, "refresh_tokens", store.Query{Kind: refreshes.Kind, Index: "ends"}, rule, endOf),
	}
}

// endOf returns the time in the index "ends", which both kinds have.
func endOf(d store.Doc) time.Time {
	for _, x := range d.Index {
		if x.Name == "ends" {
			return endAt(x.Value)
		}
	}
	return time.Time{}
}
