package tokens

import (
	"crypto/ed25519"
	"encoding/base64"
	"testing"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
)

// TestLoadClients_readsWhatAnEarlierReleaseStored: documents of before have a member "disabled",
// which nothing ever set. They still load, and nothing writes or reads the member any more.
func TestLoadClients_readsWhatAnEarlierReleaseStored(t *testing.T) {
	t.Parallel()
	key, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	public := base64.RawURLEncoding.EncodeToString(key)
	body := `{"created_at":"2026-01-01T00:00:00Z","disabled":false,"id":"c","name":"orchestrator","public":"` + public + `"}`
	db := memstore.New(store.Schema{Service: "test", Kinds: Kinds()})
	write := store.Write{Key: ClientTable.Key("c"), Expect: store.Absent(), Action: store.Put, Body: []byte(body)}
	if _, err := db.Commit(t.Context(), store.Batch{Writes: []store.Write{write}}); err != nil {
		t.Fatal(err)
	}
	var set token.KeySet
	if err := LoadClients(t.Context(), db, &set); err != nil || set.Len() != 1 {
		t.Errorf("%d keys, %v; want the one of the orchestrator", set.Len(), err)
	}
	written, err := ClientTable.Write(Client{ID: "c"}, store.Any())
	if want := `{"created_at":"0001-01-01T00:00:00Z","id":"c","name":"","public":""}`; err != nil || string(written.Body) != want {
		t.Errorf("%s, %v; want %s", written.Body, err, want)
	}
}
