package process

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/transport"
)

// listening is where a program listens.
type listening struct {
	addresses []transport.Address
	tls       *tls.Config // of those with TLS; nil when there is none
}

// openStandby opens what a program serves from. With standby it waits, when open(…, false) says
// "store.held", in open(…, true) until the other instance is gone; meanwhile it answers on its
// addresses. It returns the addresses to listen on from then on: a port 0 has become a real one.
func openStandby[T any](ctx context.Context, standby bool, on listening, title string, stdout io.Writer,
	open func(ctx context.Context, wait bool) (T, error)) (T, []transport.Address, error) {
	opened, err := open(ctx, false)
	if !standby || fault.CodeOf(err) != "store.held" {
		return opened, on.addresses, err
	}
	addresses, err := answerStandby(ctx, on, title, stdout, func(ctx context.Context) (err error) {
		opened, err = open(ctx, true)
		return err
	})
	return opened, addresses, err
}

// answerStandby answers while wait goes on: GET /health is 200 with the text "<title> is standby",
// all else 503 with the code store.standby (decision 43). It writes a line "standby http://…" for
// each listener.
func answerStandby(ctx context.Context, on listening, title string, stdout io.Writer,
	wait func(ctx context.Context) error) ([]transport.Address, error) {
	listeners, err := openListeners(ctx, on.addresses)
	if err != nil {
		return nil, err
	}
	answer := func(w http.ResponseWriter, r *http.Request) {
		answer, status := map[string]any{"success": true, "data": title + " is standby"}, http.StatusOK
		if r.URL.Path != "/health" {
			answer, status = map[string]any{"success": false, "code": "store.standby",
				"error": "this instance is standby: another one serves; ask that one, " +
					"or retry when this one has taken over"}, http.StatusServiceUnavailable
			w.Header().Set("Retry-After", "5")
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer)
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, TLSConfig: on.tls, Handler: http.HandlerFunc(answer)}
	var actual []transport.Address
	for _, l := range listeners {
		actual = append(actual, transport.Address{Text: l.Addr().String(), TLS: l.TLS})
		fmt.Fprintf(stdout, "standby %s\n", l.URL())
		go func() { _ = l.serve(server) }()
	}
	err = wait(ctx)
	_ = server.Close()
	return actual, err
}
