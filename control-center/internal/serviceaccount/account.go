package serviceaccount

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// ErrNotFound is the answer to an id that no service account has.
var ErrNotFound = fault.New(fault.NotFound, "service_account.not_found", "there is no service account with this id")

// Account is a service account as stored. Fields stand in the order of their JSON names.
type Account struct {
	CreatedAt   time.Time `json:"created_at"`
	Description string    `json:"description"`
	Enabled     bool      `json:"enabled"`
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Owner       string    `json:"owner"` // id of the person who answers for it
	Roles       []string  `json:"roles"`
	UpdatedAt   time.Time `json:"updated_at"`
	Version     int64     `json:"version"` // lifted by every change of roles and state
}

// Username returns the name by which policies and the audit log know the account.
func (a Account) Username() string { return token.ServiceAccountName(a.Name) }

// subject returns what both services may take the account for.
func (a Account) subject() token.SubjectState {
	return token.SubjectState{Enabled: a.Enabled, Kind: token.SubjectServiceAccount, Roles: append([]string{}, a.Roles...), Sub: a.ID,
		Version: a.Version}
}

var table = store.Table[Account]{Kind: "service_account", ID: func(a Account) string { return a.ID }}

// nameClaim makes a name unique, in any case of its letters.
type nameClaim struct {
	Account string `json:"account"`
	ID      string `json:"id"` // the name in lower case
}

var names = store.Table[nameClaim]{Kind: "service_account_name", ID: func(c nameClaim) string { return c.ID }}

// Kinds declares the documents of this package.
func Kinds() []store.Kind { return []store.Kind{{Name: table.Kind}, {Name: names.Kind}} }

// save stores the account and tells the orchestrator.
func save(tx *store.Tx, a Account, put func(*store.Tx, Account) error) error {
	if err := user.Announce(tx, a.subject()); err != nil {
		return err
	}
	return put(tx, a)
}

// find reads an account inside a transaction, or returns ErrNotFound.
func find(tx *store.Tx, accountID string) (Account, error) {
	if !id.Valid(accountID) {
		return Account{}, ErrNotFound
	}
	row, err := table.Load(tx, accountID)
	if err == nil && row.Rev == 0 {
		err = ErrNotFound
	}
	return row.Value, err
}

// Enabled refuses, inside a transaction, an account that may not act: it is disabled or gone.
func Enabled(tx *store.Tx, accountID string) error {
	a, err := find(tx, accountID)
	if err == nil && !a.Enabled {
		err = fault.New(fault.Conflict, "service_account.disabled",
			"this service account is disabled; enable it first (PUT /service-accounts/{id})")
	}
	return err
}

// Get returns the account with that id, or ErrNotFound.
func (as *Roster) Get(ctx context.Context, accountID string) (Account, error) {
	if !id.Valid(accountID) {
		return Account{}, ErrNotFound
	}
	row, err := table.Get(ctx, as.DB, accountID)
	if err == nil && row.Rev == 0 {
		err = ErrNotFound
	}
	return row.Value, err
}

// ByName returns the account with that name in any case of its letters, or ErrNotFound.
func (as *Roster) ByName(ctx context.Context, name string) (Account, error) {
	if !naming.Valid(name) {
		return Account{}, ErrNotFound
	}
	c, err := names.Get(ctx, as.DB, strings.ToLower(name))
	if err != nil || c.Rev == 0 {
		return Account{}, cause(err)
	}
	return as.Get(ctx, c.Value.Account)
}

// cause returns err, or ErrNotFound when it is nil.
func cause(err error) error {
	if err == nil {
		return ErrNotFound
	}
	return err
}

// Subject returns what the account with that id may be taken for now; the zero value when there is
// none.
func (as *Roster) Subject(ctx context.Context, accountID string) (token.SubjectState, error) {
	row, err := table.Get(ctx, as.DB, accountID)
	if err != nil || row.Rev == 0 {
		return token.SubjectState{}, err
	}
	return row.Value.subject(), nil
}

// Owner returns what an id, of a person's account or of a service account, may be taken for now
// (apitoken.Registry.Owner).
func Owner(people *user.Users, machines *Roster) func(context.Context, string) (token.SubjectState, error) {
	return func(ctx context.Context, owner string) (token.SubjectState, error) {
		s, err := people.Subject(ctx, owner)
		if err == nil && s.Sub == "" {
			s, err = machines.Subject(ctx, owner)
		}
		return s, err
	}
}

// List returns a page of the accounts, newest first.
func (as *Roster) List(ctx context.Context, p store.Place) (store.Window[Account], error) {
	return table.Window(ctx, as.DB, p, store.Query{})
}

// checkRoles returns what is wrong with the roles of an account, nil when nothing is.
func checkRoles(roles []string) []fault.Field {
	known := user.Roles()
	for i, r := range roles {
		if !slices.Contains(known, r) || slices.Contains(roles[:i], r) {
			return []fault.Field{{Pointer: "/roles", Message: "may hold each of " + strings.Join(known, ", ") + " once"}}
		}
	}
	if len(roles) == 0 {
		return []fault.Field{{Pointer: "/roles", Message: "must hold at least one of " + strings.Join(known, ", ")}}
	}
	return nil
}

// invalid returns one fault with all fields, or nil.
func invalid(fields []fault.Field) error {
	if len(fields) == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "service_account.invalid", "%s: %s", fields[0].Pointer, fields[0].Message).With(fields...)
}
