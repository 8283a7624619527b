package conformance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/tests/rig"
)

// wire is a connection to a service that sends exactly what it is told.
type wire struct {
	net.Conn
	in *bufio.Reader
}

// wire opens a connection that ends with the test, and no read on it takes longer than 20 s.
func (e *env) wire(base string) wire {
	e.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	return wire{conn, bufio.NewReader(conn)}
}

// send writes raw text; a connection that the service has closed shows in the answer.
func (w wire) send(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

// status reads the status of the next answer, 0 when the connection is closed.
func (w wire) status() int {
	resp, err := http.ReadResponse(w.in, nil)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close() // reads it to its end
	return resp.StatusCode
}

// endsInOrder stops a service with SIGTERM while it reads the body of a POST that is answered with
// 201.
func (e *env) endsInOrder(s *rig.Service, path string, body any) {
	t := e.t
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	running, idle := e.wire(s.Address), e.wire(s.Address)
	// The service asks for the body when it has begun to serve the request: from then on it is a
	// running one.
	running.send("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nExpect: "+
		"100-continue\r\nContent-Length: %d\r\n\r\n", path, e.Token.Reveal(), len(raw))
	if status := running.status(); status != 100 {
		t.Fatalf("%s: the service asks for the body with %d, want 100", s.Name, status)
	}
	get := "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
	idle.send("%s", get)
	if status := idle.status(); status != 200 {
		t.Fatalf("%s: before the end health is %d, want 200", s.Name, status)
	}
	began, ended := time.Now(), make(chan error, 1)
	go func() {
		code, err := s.Stop()
		if err == nil && code != 0 {
			err = fmt.Errorf("exit code %d, want 0", code)
		}
		ended <- err
	}()
	fresh := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	e.await(10*time.Second, s.Name+" refuses new requests", func() bool {
		resp, err := fresh.Get(s.Address + "/health")
		if err != nil {
			return true
		}
		_ = resp.Body.Close()
		return resp.StatusCode == 503
	})
	idle.send("%s", get)
	if status := idle.status(); status != 0 && status != 503 {
		t.Errorf("%s: a new request on an open connection is answered with %d, want 503 or its end", s.Name, status)
	}
	running.send("%s", raw)
	if status := running.status(); status != 201 {
		t.Errorf("%s: the running request is answered with %d (0: cut), want 201", s.Name, status)
	}
	if err := <-ended; err != nil {
		t.Errorf("%s: %v", s.Name, err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("%s ended after %s, want 30 s at most", s.Name, took)
	}
}
