package process

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/transport"
)

// TestOpen_standbyAnswersWhileItWaits: health is 200 and says standby, all else is 503 with a code;
// then the program goes on at the same address.
func TestOpen_standbyAnswersWhileItWaits(t *testing.T) {
	t.Parallel()
	out, lines := io.Pipe()
	defer func() { _ = lines.Close() }()
	waits := make(chan struct{})
	type result struct {
		opened  string
		listen  []transport.Address
		failure error
	}
	done := make(chan result, 1)
	go func() {
		opened, listen, err := openStandby(t.Context(), true, listening{addresses: plain("127.0.0.1:0")}, "Orchestrator", lines,
			func(_ context.Context, wait bool) (string, error) {
				if !wait {
					return "", fault.New(fault.Conflict, "store.held", "held")
				}
				<-waits
				return "opened", nil
			})
		done <- result{opened, listen, err}
	}()
	text := make([]byte, 100)
	n, err := out.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(strings.TrimPrefix(string(text[:n]), "standby "))
	for path, want := range map[string]string{"/health": `200 "data":"Orchestrator is standby"`, "/ready": `503 "code":"store.standby"`, "/tasks": `503 "code":"store.standby"`} {
		resp, err := http.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		status, member, _ := strings.Cut(want, " ")
		if !strings.HasPrefix(resp.Status, status) || !strings.Contains(string(body), member) {
			t.Errorf("%s: %s %s", path, resp.Status, body)
		}
	}
	close(waits)
	if r := <-done; r.failure != nil || r.opened != "opened" || len(r.listen) != 1 || "http://"+r.listen[0].Text != address {
		t.Errorf("went on with %+v, was at %s", r, address)
	}
}
