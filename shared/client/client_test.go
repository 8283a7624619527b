package client_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
)

// answering returns a client of a server that gives one answer and remembers the last request.
func answering(t *testing.T, status int, header map[string]string, body string) (*client.Client, **http.Request, *string) {
	t.Helper()
	var seen *http.Request
	var sent string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		seen, sent = r, string(raw)
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return &client.Client{Base: server.URL + "/", Token: secret.New("tok")}, &seen, &sent
}

func TestTasks_sendsWhatItWasAskedAndReadsTheTotal(t *testing.T) {
	t.Parallel()
	api, seen, _ := answering(t, 200, map[string]string{"X-Total-Count": "7", "Link": `</tasks?after=zz&limit=1&offset=3>; rel="next", </tasks?limit=1&offset=1>; rel="prev"`}, `{"success":true,"data":[{"id":"a","status":"Running","output":null}]}`)
	l, err := api.Tasks(t.Context(), "running", client.Page{Limit: 1, Offset: 2})
	if err != nil || l.Total != 7 || !l.Exact || l.Next != "zz" || len(l.Rows) != 1 || l.Rows[0].Output != nil {
		t.Fatalf("%+v %v", l, err)
	}
	r := *seen
	if r.URL.RequestURI() != "/tasks?limit=1&offset=2&status=running" || r.Header.Get("Authorization") != "Bearer tok" ||
		r.Header.Get("Accept") != "application/vnd.provisioning.v1+json" {
		t.Errorf("%s %v", r.URL, r.Header)
	}
}

// TestAuditLogs_followsASearchWhosePagesAreEmpty is what a person wants of a search: rows, not
// pages.
func TestAuditLogs_followsASearchWhosePagesAreEmpty(t *testing.T) {
	t.Parallel()
	pages := map[string]struct{ next, rows string }{"": {"a", ""}, "a": {"b", `{"id":"1"}`}, "b": {"c", ""}, "c": {"d", `{"id":"2"},{"id":"3"}`}, "d": {"", `{"id":"4"}`}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := pages[r.URL.Query().Get("after")]
		if p.next != "" {
			w.Header().Set("Link", `</audit/logs?after=`+p.next+`>; rel="next"`)
		}
		w.Header().Set("X-Total-Count", "0")
		w.Header().Set("X-Total-Count-Exact", "false")
		fmt.Fprintf(w, `{"success":true,"data":[%s]}`, p.rows)
	}))
	t.Cleanup(server.Close)
	api := &client.Client{Base: server.URL}
	for limit, want := range map[int]client.Extent{0: {Total: 4, Exact: true}, 3: {Total: 3, Next: "d"}} {
		l, err := api.AuditLogs(t.Context(), client.AuditFilter{UserID: "u", Action: "a"}, client.Page{Limit: limit})
		if err != nil || len(l.Rows) != want.Total || l.Extent != want {
			t.Errorf("limit %d: %+v %v", limit, l, err)
		}
	}
}

func TestErrors_comeBackAsTheServicesFault(t *testing.T) {
	t.Parallel()
	api, _, _ := answering(t, 422, nil, `{"success":false,"error":"not valid","code":"batch.invalid","fields":[{"pointer":"/name","message":"missing"}]}`)
	_, err := api.SubmitBatch(t.Context(), json.RawMessage(`{}`), "")
	if f := fault.Of(err); f == nil || f.Kind != fault.Invalid || f.Code != "batch.invalid" || f.Message != "not valid" ||
		len(f.Fields) != 1 {
		t.Errorf("%+v", err)
	}
	api, _, _ = answering(t, 503, map[string]string{"Retry-After": "3"}, `{"success":false,"error":"starting","code":"x","request_id":"r1"}`)
	err = api.Health(t.Context())
	if f := fault.Of(err); f == nil || f.Kind != fault.Unavailable || f.RetryAfter != 3*time.Second ||
		f.Message != "starting (request r1)" {
		t.Errorf("%+v", err)
	}
	api, _, _ = answering(t, 502, nil, `<html>`)
	if err := api.Health(t.Context()); fault.CodeOf(err) != "client.answer" || !fault.Is(err, fault.Unavailable) {
		t.Errorf("%+v", err)
	}
	api.Base = "http://127.0.0.1:1"
	if err := api.Health(t.Context()); fault.CodeOf(err) != "client.unreachable" {
		t.Errorf("%+v", err)
	}
}

func TestSubmit_sendsTheDefinitionAsItStandsWithItsKey(t *testing.T) {
	t.Parallel()
	api, seen, sent := answering(t, 200, nil, `{"success":true,"data":{"batch_id":"b","status":"Running","operations":[]}}`)
	if b, err := api.SubmitBatch(t.Context(), json.RawMessage(`{"name":"x","operations":[]}`), "key-1"); err != nil || b.BatchID != "b" {
		t.Fatalf("%+v %v", b, err)
	}
	if *sent != `{"name":"x","operations":[]}` || (*seen).Header.Get("Idempotency-Key") != "key-1" {
		t.Errorf("%s %v", *sent, (*seen).Header)
	}
}

func TestKey_goesWithChangesOnly(t *testing.T) {
	t.Parallel()
	api, seen, _ := answering(t, 200, nil, `{"success":true,"data":{}}`)
	api.Key = "key-2"
	for what, c := range map[string]struct {
		call func() error
		want string
	}{
		"a read":              {func() error { _, err := api.User(t.Context(), "u"); return err }, ""},
		"a change":            {func() error { return api.DeleteUser(t.Context(), "u") }, "key-2"},
		"a change of its own": {func() error { _, err := api.SubmitBatch(t.Context(), json.RawMessage(`{}`), "key-1"); return err }, "key-1"},
	} {
		if err := c.call(); err != nil || (*seen).Header.Get("Idempotency-Key") != c.want {
			t.Errorf("%s: %v %v", what, err, (*seen).Header)
		}
	}
}

func TestLogin_carriesNoTokenAndKeepsSecrets(t *testing.T) {
	t.Parallel()
	api, seen, _ := answering(t, 200, nil, `{"success":true,"data":{"token":"jwt","expires_at":"2026-01-01T00:00:00Z","refresh_token":"rt_1","user":{"id":"u","username":"ann"}}}`)
	s, err := api.Login(t.Context(), "ann", secret.New("pw"), "")
	if err != nil || s.Token.Reveal() != "jwt" || s.RefreshToken.Reveal() != "rt_1" || s.User.Username != "ann" {
		t.Fatalf("%v", err)
	}
	if (*seen).Header.Get("Authorization") != "" {
		t.Error("a login sent a token")
	}
}
