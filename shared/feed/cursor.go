package feed

import "github.com/provisioning-platform/platform/shared/store"

// Cursor is the stored place of a follower: the last sequence it has handled.
type Cursor struct {
	Name   string `json:"name"`
	Seq    uint64 `json:"seq"`
	Stream string `json:"stream"`
}

// Cursors is the table of cursors.
var Cursors = store.Table[Cursor]{Kind: "cursor", ID: func(c Cursor) string { return c.Name }}

// Kinds are the document kinds of this package, for the schema of a service.
func Kinds() []store.Kind {
	return []store.Kind{{Name: Cursors.Kind}, {Name: DeadLetters.Kind}}
}
