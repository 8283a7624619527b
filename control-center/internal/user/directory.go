package user

import (
	"bytes"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/store"
)

// The realm of this service's own directory events, and the topic of those about accounts.
const (
	Realm = "control-center"
	Topic = "users/user"
)

// publisher stands in the events: the original's clients refuse a name that they do not know
// (contract provisioning-api 1.4).
const publisher = "udm-listener"

// object is an account as directory events show it. Fields stand in the order of their JSON names.
type object struct {
	Email      string   `json:"email"`
	Enabled    bool     `json:"enabled"`
	ID         string   `json:"id"`
	ObjectType string   `json:"objectType"`
	Roles      []string `json:"roles"`
	Username   string   `json:"username"`
}

// Object returns the account as directory events show it: canonical JSON without password, sign-ins
// and versions; {} for the zero value, which stands for no account.
func (u User) Object() ([]byte, error) {
	if u.ID == "" {
		return []byte("{}"), nil
	}
	return canonical.Make(object{
		Email: u.Email, Enabled: u.Enabled, ID: u.ID, ObjectType: Topic, Roles: append([]string{}, u.Roles...), Username: u.Username,
	})
}

// publish appends the directory event of a change from before to after to the transaction that
// makes it; nothing when the two look the same.
func publish(tx *store.Tx, before, after User, now time.Time) error {
	old, err := before.Object()
	if err != nil {
		return err
	}
	fresh, err := after.Object()
	if err != nil || bytes.Equal(old, fresh) {
		return err
	}
	id := after.ID
	if id == "" {
		id = before.ID
	}
	entry, _, err := directory.Encode(directory.Message{ // an account is smaller than an entry
		Publisher: publisher, Timestamp: directory.Time(now), Realm: Realm, Topic: Topic, Object: id, Body: directory.Body(old, fresh),
	}, now)
	if err != nil {
		return err
	}
	tx.Append(directory.Stream, entry)
	return nil
}
