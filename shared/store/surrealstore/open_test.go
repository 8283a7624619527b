package surrealstore

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/lxzan/gws"
	"github.com/surrealdb/surrealdb.go/pkg/connection"
	"github.com/surrealdb/surrealdb.go/surrealcbor"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/surrealstore/surrealtest"
)

// oldServer answers every call with the version of a server that is too old.
type oldServer struct{ gws.BuiltinEventHandler }

// OnMessage answers.
func (oldServer) OnMessage(conn *gws.Conn, message *gws.Message) {
	codec := surrealcbor.New()
	var req connection.RPCRequest
	if codec.Unmarshal(message.Bytes(), &req) != nil {
		return
	}
	data, err := codec.Marshal(map[string]any{"id": req.ID, "result": "surrealdb-2.3.7"})
	if err == nil {
		_ = conn.WriteMessage(gws.OpcodeBinary, data)
	}
}

func TestOpen_oldServerIsRefused(t *testing.T) {
	t.Parallel()
	upgrader := gws.NewUpgrader(oldServer{}, &gws.ServerOption{SubProtocols: []string{"cbor"}})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := upgrader.Upgrade(w, r); err == nil {
			conn.ReadLoop()
		}
	}))
	defer server.CloseClientConnections()
	u, err := url.Parse(strings.Replace(server.URL, "http://", "surrealdb://root@", 1) + "/a/b")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{URL: u, Sync: SyncEvery, Schema: schema})
	if fault.CodeOf(err) != "store.version" || !strings.Contains(err.Error(), "2.3.7") {
		t.Errorf("got %v", err)
	}
}

func TestOpen_refusals(t *testing.T) {
	t.Parallel()
	good := "surrealdb://root@127.0.0.1:1/ns/db"
	for name, c := range map[string]struct {
		url, sync, code string
		schema          store.Schema
	}{
		"syncNotStated":    {good, "", "store.sync", schema},
		"unsafeSync":       {good, "never", "store.sync", schema},
		"passwordInURL":    {"surrealdb://root:secret@127.0.0.1:1/ns/db", SyncEvery, "store.url", schema},
		"noUser":           {"surrealdb://127.0.0.1:1/ns/db", SyncEvery, "store.url", schema},
		"noDatabase":       {"surrealdb://root@127.0.0.1:1/ns", SyncEvery, "store.url", schema},
		"otherScheme":      {"http://root@127.0.0.1:1/ns/db", SyncEvery, "store.url", schema},
		"nobodyThere":      {good, SyncEvery, "store.unavailable", schema},
		"poisonedService":  {good, SyncEvery, "store.schema", store.Schema{Service: "a; DELETE b"}},
		"poisonedKindName": {good, SyncEvery, "store.schema", store.Schema{Service: "a", Kinds: []store.Kind{{Name: "b`c"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(c.url)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Open(t.Context(), Options{URL: u, Sync: c.sync, Schema: c.schema})
			if fault.CodeOf(err) != c.code {
				t.Errorf("got %v (%s), want %s", err, fault.CodeOf(err), c.code)
			}
			if err != nil && strings.Contains(err.Error(), "secret@") {
				t.Error("the password is in the error")
			}
		})
	}
}

func TestOpen_wrongPassword(t *testing.T) {
	t.Parallel()
	at, _ := surrealtest.Start(t)
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{URL: u, Password: secret.New("wrong"), Sync: SyncEvery, Schema: schema})
	if fault.CodeOf(err) != "store.sign_in" {
		t.Errorf("got %v", err)
	}
}

// A database that another format has filled is refused, and not taken for an empty or a broken one.
func TestOpen_refusesADatabaseOfAnotherFormat(t *testing.T) {
	at, password := surrealtest.Start(t)
	s := open(t, at, password, schema)
	for _, head := range []map[string]any{{"n": 7, "s": map[string]any{}}, {"f": "99", "n": 7}} {
		if _, err := s.link.query(t.Context(), "UPSERT test__head:main CONTENT $head", map[string]any{"head": head}); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Open(t.Context(), Options{URL: u, Password: secret.New(password), Sync: SyncEvery, Schema: schema})
		if fault.CodeOf(err) != "store.format" || head["f"] != nil && !strings.Contains(err.Error(), "99") {
			t.Errorf("head %v: %v", head, err)
		}
		if again != nil {
			_ = again.Close()
		}
	}
}
