package apitoken

import (
	"fmt"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Stream is the name of the stream that tells the orchestrator of each token. An entry stands in
// the commit of the change that it tells of.
const Stream = "tokens"

// MaxLive is how many tokens an owner may have that are neither revoked nor expired.
const MaxLive = 50

// keepEnded is how long a token that is over is listed.
const keepEnded = 30 * 24 * time.Hour

// keepTold is how long Stream keeps an entry: longer than the longest life of a token.
const keepTold = 370 * 24 * time.Hour

// Faults of this package.
var (
	ErrNotFound = fault.New(fault.NotFound, "token.not_found",
		"there is no API token with this id; GET /tokens lists yours, or control-center token list")
	ErrEnded = fault.New(fault.Conflict, "token.ended",
		"this API token is over, or has a successor already; GET /tokens lists yours ("+
			"control-center token list); rotate the newest, or make another one")
)

// Token is an API token as stored. Fields stand in the order of their JSON names.
type Token struct {
	Created   time.Time   `json:"created"`
	Ended     *time.Time  `json:"ended,omitempty"` // when it was revoked
	Expires   time.Time   `json:"expires"`
	Hash      string      `json:"hash"` // SHA-256 of the token, hex
	ID        string      `json:"id"`
	LastUsed  *time.Time  `json:"last_used,omitempty"` // to the minute or so: the one write without an audit entry
	Maker     string      `json:"maker"`               // id of the account that made it
	MFA       bool        `json:"mfa"`                 // made in a session with a second factor
	Name      string      `json:"name"`
	Owner     string      `json:"owner"`            // id of the account that it acts for
	Reason    string      `json:"reason,omitempty"` // why it was revoked
	Scope     authz.Scope `json:"scope"`
	Successor string      `json:"successor,omitempty"` // id of the token that a rotation made in its place
	Username  string      `json:"username"`            // of the owner, as policies and the audit log name it
}

// State is what a token is good for.
type State string

// These are the states of a token.
const (
	Active    State = "active"
	Retiring  State = "retiring"  // it has a successor and is good until it expires
	Expired   State = "expired"   // its time is over
	Revoked   State = "revoked"   // somebody, or a change of its owner, has ended it
	Suspended State = "suspended" // it came back with a backup: it is refused until it is rotated
)

// ReasonRecovered is the Reason of a token that came back with a backup.
const ReasonRecovered = "recovered"

// State returns what the token is good for at a time.
func (t Token) State(now time.Time) State {
	switch {
	case t.Ended != nil && t.Reason == ReasonRecovered && now.Before(t.Expires):
		return Suspended
	case t.Ended != nil:
		return Revoked
	case !now.Before(t.Expires):
		return Expired
	case t.Successor != "":
		return Retiring
	}
	return Active
}

// over returns when the token is, or was, good no longer.
func (t Token) over() time.Time {
	if t.Ended != nil && t.Ended.Before(t.Expires) {
		return *t.Ended
	}
	return t.Expires
}

// told returns what both services know of the token.
func (t Token) told() token.APITokenState {
	return token.APITokenState{Created: t.Created.Unix(), Expires: t.Expires.Unix(), Hash: t.Hash, ID: t.ID, Revoked: t.Ended != nil,
		Scope: t.Scope, Sub: t.Owner, Username: t.Username}
}

var table = store.Table[Token]{
	Kind: "api_token",
	ID:   func(t Token) string { return t.ID },
	Index: func(t Token) []store.IndexKey {
		return []store.IndexKey{{Name: "ends", Value: fmt.Sprintf("%012d", t.over().Unix())}, {Name: "hash", Value: t.Hash},
			{Name: "owner", Value: t.Owner}}
	},
}

// holder is what an owner has: the tokens that are neither revoked nor, when it was written,
// expired. Each change of them reads and writes it, so that no two make one too many and a change
// of the owner finds them all.
type holder struct {
	ID   string `json:"id"` // of the owner
	Live []live `json:"live"`
}

type live struct {
	Expires int64  `json:"expires"` // Unix second
	ID      string `json:"id"`
}

var holders = store.Table[holder]{Kind: "api_token_holder", ID: func(h holder) string { return h.ID }}

// Kinds declares the documents of this package.
func Kinds() []store.Kind {
	return []store.Kind{
		{Name: table.Kind, Indexes: []string{"ends", "hash", "owner"}, Counted: []string{"owner"}},
		{Name: holders.Kind},
	}
}

// Classes returns what retention removes of this package: tokens that have been over for 30 days,
// and what was told of tokens that are over whatever happened.
func Classes(db store.DB) []retention.Class {
	return []retention.Class{
		retention.Rows(db, "api_tokens", store.Query{Kind: table.Kind, Index: "ends"}, retention.KeepRule{MaxAge: keepEnded}, overAt),
		retention.Stream(db, Stream, retention.KeepRule{MaxAge: keepTold}, toldAt),
	}
}

// overAt returns the time in the index "ends" of a token.
func overAt(d store.Doc) time.Time {
	for _, x := range d.Index {
		if x.Name == "ends" {
			if at, err := strconv.ParseInt(x.Value, 10, 64); err == nil {
				return time.Unix(at, 0)
			}
		}
	}
	return time.Time{}
}

// save stores the token and tells the orchestrator.
func save(tx *store.Tx, t Token, put func(*store.Tx, Token) error) error {
	body, err := canonical.Make(t.told())
	if err != nil {
		return err
	}
	tx.Append(Stream, body)
	return put(tx, t)
}
