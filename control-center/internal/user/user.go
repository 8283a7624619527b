package user

import (
	"slices"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
)

// Admin is the role that may manage users. One enabled account with it always remains.
const Admin = "admin"

// Roles returns the names of the roles that an account can have, in the order of the table of
// rights (contracts/platform.md Q13).
func Roles() []string { return []string{Admin, "operator", "developer", "viewer", "auditor"} }

// User is an account as stored. Fields stand in the order of their JSON names.
type User struct {
	AV        int64      `json:"av"` // authorization version: lifted by every change of rights, password or factors
	CreatedAt time.Time  `json:"created_at"`
	Email     string     `json:"email"`
	Enabled   bool       `json:"enabled"`
	Floor     int64      `json:"floor"` // a session that began with a lower AV is over
	ID        string     `json:"id"`
	LastLogin *time.Time `json:"last_login,omitempty"`
	Password  string     `json:"password"` // Argon2id hash as a PHC string
	Roles     []string   `json:"roles"`
	UpdatedAt time.Time  `json:"updated_at"`
	Username  string     `json:"username"`
}

// usableAdmin says whether u is an enabled administrator, of which one must remain.
func (u User) usableAdmin() bool { return u.Enabled && slices.Contains(u.Roles, Admin) }

// table maps User to its documents. The value of an index "role_<name>" is the enabled state, so
// that a list with both filters is one range.
var table = store.Table[User]{
	Kind: "user",
	ID:   func(u User) string { return u.ID },
	Index: func(u User) []store.IndexKey {
		enabled := strconv.FormatBool(u.Enabled)
		keys := []store.IndexKey{{Name: "enabled", Value: enabled}}
		for _, r := range u.Roles {
			keys = append(keys, store.IndexKey{Name: "role_" + r, Value: enabled})
		}
		return keys
	},
}

// claim makes a name or an address unique: an account is created together with a claim whose id
// must not exist yet.
type claim struct {
	ID   string `json:"id"` // "name:<folded>" or "email:<folded>"
	User string `json:"user"`
}

var claims = store.Table[claim]{Kind: "user_claim", ID: func(c claim) string { return c.ID }}

// adminCount holds the number of usable administrators. Each transaction that changes the number
// reads and writes this one document, so two of them never both take away the last administrator
// but one.
type adminCount struct {
	Admins int64  `json:"admins"`
	ID     string `json:"id"`
}

var adminCounts = store.Table[adminCount]{Kind: "user_guard", ID: func(g adminCount) string { return g.ID }}

// Kinds declares the documents of this package.
func Kinds() []store.Kind {
	indexes := []string{"enabled"}
	for _, r := range Roles() {
		indexes = append(indexes, "role_"+r)
	}
	return []store.Kind{
		{Name: table.Kind, Indexes: indexes, Counted: indexes},
		{Name: claims.Kind},
		{Name: adminCounts.Kind},
	}
}
