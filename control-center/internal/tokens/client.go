package tokens

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Client is a service that may call the control-center with tokens that it signs itself (decision
// 4). Fields stand in the order of their JSON names.
type Client struct {
	CreatedAt time.Time `json:"created_at"`
	ID        string    `json:"id"`
	Name      string    `json:"name"`   // "orchestrator": the only service its tokens speak for
	Public    string    `json:"public"` // base64url
}

// ClientTable maps Client to its documents.
var ClientTable = store.Table[Client]{Kind: "service_client", ID: func(c Client) string { return c.ID }}

// Kinds declares the documents of this package.
func Kinds() []store.Kind { return []store.Kind{{Name: ClientTable.Kind}} }

// LoadClients replaces the keys in set by those of all stored clients. Each key verifies tokens of
// its own service only.
func LoadClients(ctx context.Context, db store.DB, set *token.KeySet) error {
	var known []token.Key
	for r, err := range ClientTable.All(ctx, db, store.Query{}) {
		if err != nil {
			return err
		}
		pub, err := base64.RawURLEncoding.DecodeString(r.Value.Public)
		if err != nil {
			return fmt.Errorf("service client %s: %w", r.Value.ID, err)
		}
		if r.Value.Name == "" {
			return fmt.Errorf("service client %s names no service", r.Value.ID)
		}
		key := token.NewKey(ed25519.PublicKey(pub), token.Current)
		key.Service = r.Value.Name
		known = append(known, key)
	}
	return set.Replace(known)
}
