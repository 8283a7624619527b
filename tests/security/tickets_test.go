package security

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// handshake opens /ws with a query and an origin; without success the socket is nil.
func (s *site) handshake(t *testing.T, query, origin string) (*websocket.Conn, answer) {
	t.Helper()
	head := http.Header{}
	if origin != "" {
		head.Set("Origin", origin)
	}
	ws, resp, err := websocket.DefaultDialer.DialContext(t.Context(),
		"ws"+strings.TrimPrefix(s.Orchestrator.Address, "http")+"/ws?"+query, head)
	if resp == nil {
		t.Fatal(err)
	}
	raw, _ := io.ReadAll(resp.Body)
	if err == nil {
		t.Cleanup(func() { _ = ws.Close() })
	}
	return ws, answer{rigtest.Answer{Status: resp.StatusCode, Header: resp.Header, Raw: raw}}
}

// ticket asks for a ticket as the bearer of a token.
func (s *site) ticket(t *testing.T, token string) string {
	t.Helper()
	var v struct{ Ticket string }
	if a := s.send(t, "orchestrator", "POST", "/ws/tickets", token, nil); a.Status != 201 || a.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %s", a.Status, a.Header, a.Raw)
	} else if a.data(t, &v); len(v.Ticket) < 40 {
		t.Fatalf("%s", a.Raw)
	}
	return v.Ticket
}

// TestTickets_openOneSocketOfOneSession attacks the ticket of a browser (decision 64): used again,
// made up, shown by a page of another origin, shown after its session ended, and looked for in the
// log.
func TestTickets_openOneSocketOfOneSession(t *testing.T) {
	t.Parallel()
	s := shared
	leaving, err := s.hire(t.Context(), "leaving-"+id.New()[24:], "viewer")
	if err != nil {
		t.Fatal(err)
	}
	own := s.Orchestrator.Address
	first := s.ticket(t, leaving.token)
	if ws, a := s.handshake(t, "ticket="+first, "https://evil.example"); ws != nil || a.Status != 403 {
		t.Errorf("a page of another origin: %d %s", a.Status, a.Raw)
	}
	open, a := s.handshake(t, "ticket="+first+"&events=task", own)
	if open == nil {
		t.Fatalf("a page of the service itself: %d %s", a.Status, a.Raw)
	}
	for what, k := range map[string]string{"used": first, "made up": "wst_" + strings.Repeat("A", 43), "a token": leaving.token} {
		if ws, a := s.handshake(t, "ticket="+k, own); ws != nil || a.Status != 401 || code(t, a) != "ws.bad_ticket" ||
			bytes.Contains(a.Raw, []byte(k)) {
			t.Errorf("%s: %d %s", what, a.Status, a.Raw)
		}
	}
	// A ticket is no token anywhere else, and its socket is its owner's.
	if a := s.send(t, "orchestrator", "GET", "/tasks", s.ticket(t, leaving.token), nil); a.Status != 401 {
		t.Errorf("a ticket as a token: %d %s", a.Status, a.Raw)
	}
	if err := open.WriteJSON(map[string]string{"type": "auth", "token": s.people["admin"].token}); err != nil {
		t.Fatal(err)
	}
	_ = open.SetReadDeadline(time.Now().Add(patience))
	if err := endOf(open); !websocket.IsCloseError(err, 4401) {
		t.Errorf("a socket that another person's token is shown on: %v", err)
	}

	open, _ = s.handshake(t, "ticket="+s.ticket(t, leaving.token), own)
	unused := []string{s.ticket(t, leaving.token), s.ticket(t, leaving.token), s.ticket(t, leaving.token)}
	if a := s.send(t, "control-center", "POST", "/auth/logout", leaving.token, nil); a.Status != 200 || open == nil {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	_ = open.SetReadDeadline(time.Now().Add(patience))
	if err := endOf(open); !websocket.IsCloseError(err, 4401) {
		t.Errorf("the socket of a session that ended: %v", err)
	}
	for _, k := range unused { // the orchestrator knows of the end, for it has closed the socket
		if ws, a := s.handshake(t, "ticket="+k, own); ws != nil || a.Status != 401 {
			t.Errorf("the ticket of a session that ended: %d %s", a.Status, a.Raw)
		}
	}
	log, err := os.ReadFile(s.Orchestrator.Log)
	if err != nil || !bytes.Contains(log, []byte(`"op":"createTicket"`)) || !bytes.Contains(log, []byte(`"op":"watchEvents"`)) {
		t.Fatalf("the search of the log is blind: %v", err)
	}
	for _, k := range append(unused, first) {
		if bytes.Contains(log, []byte(k[len("wst_"):])) {
			t.Error("a ticket is in the log")
		}
	}
}

// endOf reads a socket to its end.
func endOf(ws *websocket.Conn) error {
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			return err
		}
	}
}
