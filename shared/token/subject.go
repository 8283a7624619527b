package token

import "slices"

// These are the kinds of a SubjectState.
const (
	SubjectUser           = "user"            // a person's account
	SubjectServiceAccount = "service_account" // an account for machines, which has API tokens only
)

// SubjectState is what an account may be taken for at one version: who it is, whether it is enabled
// and which roles it has (decision 39). A later version replaces an earlier one, so taking one in
// twice or late changes nothing. Seq is its place in the stream: empty in a stored entry, filled in
// by whoever reads it.
type SubjectState struct {
	Deleted bool     `json:"deleted,omitempty"` // the account is gone for ever
	Enabled bool     `json:"enabled"`
	Kind    string   `json:"kind"` // SubjectUser, SubjectServiceAccount
	Roles   []string `json:"roles"`
	Seq     uint64   `json:"seq,omitempty"`
	Sub     string   `json:"sub"`     // UUID of the account
	Version int64    `json:"version"` // authorization version: raised by every change of roles, enabled state, password or factors
}

// Same says whether s and o say the same of the account, wherever they stand in the stream.
func (s SubjectState) Same(o SubjectState) bool {
	return s.Deleted == o.Deleted && s.Enabled == o.Enabled && s.Kind == o.Kind && s.Sub == o.Sub && s.Version == o.Version &&
		slices.Equal(s.Roles, o.Roles)
}

// Subjects is one answer of the subject feed: a page of the entries above the sequence that was
// asked for, ascending. The stream read from its beginning names every account of its epoch.
type Subjects struct {
	Epoch string         `json:"epoch"` // identity of the stream; changes when its store is replaced
	Head  uint64         `json:"head"`  // the sequence to ask after next
	Items []SubjectState `json:"items"`
	Last  uint64         `json:"last"` // the newest sequence there is; Head equals it when nothing is left to fetch
}
