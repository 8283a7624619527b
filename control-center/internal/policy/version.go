package policy

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Version is one state that a policy had. It is written once, in the commit of the change that led
// to it, and stays when the policy is deleted. Fields stand in the order of their JSON names.
type Version struct {
	Action   string       `json:"action"` // of the audit entry: policy.create, policy.update, policy.revert
	At       time.Time    `json:"at"`
	By       string       `json:"by"` // who made it, as the audit entry names the actor
	Enabled  bool         `json:"enabled"`
	ID       string       `json:"id"` // versionID
	Name     string       `json:"name"`
	Policy   string       `json:"policy"` // id of the policy
	Revision int          `json:"revision"`
	Rules    []authz.Rule `json:"rules"`
	Username string       `json:"username,omitempty"`
	Version  string       `json:"version"`
}

var versions = store.Table[Version]{
	Kind:  "policy_version",
	ID:    func(v Version) string { return v.ID },
	Index: func(v Version) []store.IndexKey { return []store.IndexKey{{Name: "policy", Value: v.Policy}} },
}

// versionID returns the id of a version: ids of one policy sort by their revision.
func versionID(policyID string, revision int) string {
	return fmt.Sprintf("%s/%08d", policyID, revision)
}

// errNoVersion is the answer to a revision that the policy never had.
var errNoVersion = fault.New(
	fault.NotFound,
	"policy.no_version",
	"this policy never had this revision; GET /policies/{id}/versions lists them",
)

// save puts the policy d into tx as the state after before, which is empty when there is none, and
// its version beside it. It returns d with its revision and times.
func (ps *Policies) save(ctx context.Context, tx *store.Tx, before, d Document, action string) (Document, error) {
	last, err := ps.last(ctx, d.ID)
	if err != nil {
		return d, err
	}
	d.UpdatedAt = ps.Now().UTC().Truncate(time.Millisecond)
	d.Revision, d.CreatedAt = max(last, before.Revision)+1, before.CreatedAt
	if before.ID == "" {
		d.CreatedAt = d.UpdatedAt
	}
	by := audit.ContextOf(ctx).Actor
	v := Version{
		Action: action, At: d.UpdatedAt, By: by.Sub, Enabled: d.Enabled, ID: versionID(d.ID, d.Revision), Name: d.Name,
		Policy: d.ID, Revision: d.Revision, Rules: d.Rules, Username: by.Username, Version: d.Version,
	}
	if err := versions.Create(tx, v); err != nil {
		return d, err
	}
	return d, Table.Save(tx, d)
}

// last returns the newest revision of a policy that is stored, also of a deleted one; 0 when there
// never was one.
func (ps *Policies) last(ctx context.Context, policyID string) (int, error) {
	rows, _, err := versions.List(ctx, ps.Changes.DB, store.Query{Prefix: policyID + "/", Reverse: true, Limit: 1})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return rows[0].Value.Revision, nil
}

// Versions returns a page of the versions of a policy, newest first; those of a deleted one too.
// The fault is ErrNotFound when there never was a policy with that id.
func (ps *Policies) Versions(ctx context.Context, policyID string, p store.Place) (store.Window[Version], error) {
	if !id.Valid(policyID) {
		return store.Window[Version]{}, ErrNotFound
	}
	w, err := versions.Window(ctx, ps.Changes.DB, p, store.Query{Index: "policy", Prefix: policyID, Exact: true})
	if err == nil && w.Total == 0 {
		err = ErrNotFound
	}
	return w, err
}

// Version returns one version of a policy.
func (ps *Policies) Version(ctx context.Context, policyID string, revision int) (Version, error) {
	if !id.Valid(policyID) {
		return Version{}, ErrNotFound
	}
	row, err := versions.Get(ctx, ps.Changes.DB, versionID(policyID, revision))
	if err != nil || row.Rev != 0 {
		return row.Value, err
	}
	switch last, err := ps.last(ctx, policyID); {
	case err != nil:
		return Version{}, err
	case last == 0:
		return Version{}, ErrNotFound
	}
	return Version{}, errNoVersion
}

// Revision reads the number of a version in a path; 0, which no version has, when it is none.
func Revision(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || strconv.Itoa(n) != text {
		return 0
	}
	return n
}
