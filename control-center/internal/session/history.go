package session

import (
	"time"

	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// Classes are what retention removes of this package: sessions and refresh tokens, by the time of
// their end. Nothing depends on them then: an ended session is refused whether it is there or
// not, and a used refresh token ends with its session.
func Classes(db store.DB, rule retention.KeepRule) []retention.Class {
	return []retention.Class{
		retention.Rows(db, "sessions", store.Query{Kind: sessions.Kind, Index: "ends"}, rule, endOf),
		retention.Rows(db, "refresh_tokens", store.Query{Kind: refreshes.Kind, Index: "ends"}, rule, endOf),
	}
}

// endOf reads the index that both kinds have.
func endOf(d store.Doc) time.Time {
	for _, x := range d.Index {
		if x.Name == "ends" {
			return endAt(x.Value)
		}
	}
	return time.Time{}
}
