package prefill

import (
	"context"

	"github.com/provisioning-platform/platform/control-center/internal/user"
)

// accountPage is how many accounts Accounts returns at once.
const accountPage = 200

// Accounts is the source of the realm user.Realm: the accounts of this service.
type Accounts struct {
	// List returns up to limit accounts in the order of their ids behind the id after.
	List func(ctx context.Context, after string, limit int) ([]user.User, error)
}

// Topics returns user.Topic.
func (a Accounts) Topics(context.Context) ([]string, error) { return []string{user.Topic}, nil }

// Objects returns accounts as directory events show them.
func (a Accounts) Objects(ctx context.Context, _, after string) (objects []Object, next string, err error) {
	page, err := a.List(ctx, after, accountPage)
	if err != nil {
		return nil, "", err
	}
	for _, u := range page {
		text, err := u.Object()
		if err != nil {
			return nil, "", err
		}
		objects = append(objects, Object{ID: u.ID, JSON: text})
	}
	if len(page) == accountPage {
		next = page[len(page)-1].ID
	}
	return objects, next, nil
}
