package policy

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Document is a policy as it is stored. Fields stand in the order of their JSON names.
type Document struct {
	CreatedAt time.Time    `json:"created_at"`
	Enabled   bool         `json:"enabled"`
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Revision  int          `json:"revision"` // number of its newest version, from 1
	Rules     []authz.Rule `json:"rules"`
	UpdatedAt time.Time    `json:"updated_at"`
	Version   string       `json:"version"` // what its author calls it: "1.0.0"
}

// compiled returns d as package authz takes it.
func (d Document) compiled() authz.Policy {
	return authz.Policy{Enabled: d.Enabled, ID: d.ID, Name: d.Name, Rules: d.Rules, Version: d.Version}
}

// Table maps Document to its documents.
var Table = store.Table[Document]{
	Kind: "policy",
	ID:   func(d Document) string { return d.ID },
	Index: func(d Document) []store.IndexKey {
		return []store.IndexKey{{Name: "enabled", Value: strconv.FormatBool(d.Enabled)}, {Name: "name", Value: fold(d.Name)}}
	},
}

// fold returns what two names have in common that differ in case only, and so cannot both be given.
func fold(name string) string { return strings.ToLower(name) }

// set is the version of all policies together. BuiltIn is the digest of the roles in the program
// that last started, so that an upgrade with other roles raises the version too.
type set struct {
	BuiltIn string `json:"built_in"`
	ID      string `json:"id"`
	Version uint64 `json:"version"`
}

var sets = store.Table[set]{Kind: "policy_set", ID: func(s set) string { return s.ID }}

const setID = "set"

// Faults of this package; Check of package authz has policy.invalid.
var (
	ErrNotFound = fault.New(fault.NotFound, "policy.not_found", "there is no policy with this id")
	ErrTaken    = fault.New(
		fault.Conflict,
		"policy.name_taken",
		"another policy has this name (upper and lower case are the same); give this one another name",
	)
)

// Kinds declares the documents of this package.
func Kinds() []store.Kind {
	return []store.Kind{
		{Name: Table.Kind, Indexes: []string{"enabled", "name"}, Counted: []string{"enabled", "name"}},
		{Name: versions.Kind, Indexes: []string{"policy"}, Counted: []string{"policy"}}, {Name: sets.Kind},
	}
}

// Policies holds the effective policies and changes them. It is built as a literal; Load comes
// before its first use.
type Policies struct {
	Changes   *change.Committer
	Authority *authz.Authority
	Epoch     string // versions of one epoch can be compared (bootstrap.Epoch)
	Now       func() time.Time
	Log       *slog.Logger

	mu sync.Mutex // held by each change, so that what is put in force is what was stored last

	broken atomic.Int64 // stored policies that are not in force because they do not compile

	feed feed
}

// Get returns the policy with that id, or ErrNotFound.
func (ps *Policies) Get(ctx context.Context, policyID string) (Document, error) {
	if !id.Valid(policyID) {
		return Document{}, ErrNotFound
	}
	row, err := Table.Get(ctx, ps.Changes.DB, policyID)
	if err == nil && row.Rev == 0 {
		err = ErrNotFound
	}
	return row.Value, err
}

// Filter selects policies. The zero value of a member selects all.
type Filter struct {
	Name    string // in any case
	Enabled *bool
}

// List returns a page of policies, newest first. A name is that of at most one policy.
func (ps *Policies) List(ctx context.Context, f Filter, p store.Place) (store.Window[Document], error) {
	switch {
	case f.Name != "":
		row, err := ps.named(ctx, f.Name)
		if err != nil || row.Rev == 0 || f.Enabled != nil && row.Value.Enabled != *f.Enabled {
			return store.Window[Document]{}, err
		}
		return store.Window[Document]{Rows: []store.Row[Document]{row}, Total: 1}, nil
	case f.Enabled != nil:
		return Table.Window(ctx, ps.Changes.DB, p, store.Query{Index: "enabled", Prefix: strconv.FormatBool(*f.Enabled), Exact: true})
	}
	return Table.Window(ctx, ps.Changes.DB, p, store.Query{})
}

// named returns the policy of that name in any case; revision 0 when there is none.
func (ps *Policies) named(ctx context.Context, name string) (store.Row[Document], error) {
	rows, _, err := Table.List(ctx, ps.Changes.DB, store.Query{Index: "name", Prefix: fold(name), Exact: true, Limit: 1})
	if err != nil || len(rows) == 0 {
		return store.Row[Document]{}, err
	}
	return rows[0], nil
}
