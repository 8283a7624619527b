package directory

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// TestEncode_aLargeBodyComesBackByteForByte: wherever its parts end, no character is cut in two,
// which the JSON of a part would not bring back.
func TestEncode_aLargeBodyComesBackByteForByte(t *testing.T) {
	t.Parallel()
	for shift := range 4 {
		db := memstore.New(store.Schema{Service: "control_center", Kinds: []store.Kind{{Name: Parts.Kind}}})
		body := Body(json.RawMessage("{}"), json.RawMessage(`{"x":"`+strings.Repeat("a", shift)+strings.Repeat("𝄞", partSize/2)+`"}`))
		m := Message{Realm: "udm", Topic: "users/user", Object: strings.Repeat("o", maxObject+1), Body: body}
		entry, parts, err := Encode(m, time.Now())
		if err != nil || len(parts) < 2 || len(entry) > maxInline {
			t.Fatalf("%d parts, an entry of %d bytes, %v", len(parts), len(entry), err)
		}
		for _, p := range parts {
			if _, err := store.Update(t.Context(), db, func(tx *store.Tx) error { return Parts.Create(tx, p) }); err != nil {
				t.Fatal(err)
			}
		}
		m, err = Load(t.Context(), db, entry)
		if err != nil || string(m.Body) != string(body) {
			t.Errorf("with %d bytes before it the body comes back with %d of %d bytes, or others, %v", shift, len(m.Body), len(body), err)
		}
		if m.Object == "" || len(m.Object) > maxObject {
			t.Errorf("the name of the object takes %d bytes", len(m.Object))
		}
	}
}

func TestLoad_aMessageWithoutItsPartsIsNoShorterMessage(t *testing.T) {
	t.Parallel()
	db := memstore.New(store.Schema{Service: "control_center", Kinds: []store.Kind{{Name: Parts.Kind}}})
	entry, _, err := Encode(Message{Body: []byte(`"` + strings.Repeat("x", maxInline) + `"`)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{"no parts": entry, "no header": []byte("{}"), "a bad header": []byte("{\n{}")} {
		if m, err := Load(t.Context(), db, text); err == nil {
			t.Errorf("%s: %+v", what, m)
		}
	}
}
