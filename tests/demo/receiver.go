package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/provisioning-platform/platform/shared/webhook"
)

// receiver is an HTTP server of the demo's own that webhooks are sent to.
type receiver struct {
	server *httptest.Server
	secret string
	came   chan delivery
}

// delivery is one request at the receiver.
type delivery struct {
	header http.Header
	body   []byte
}

func (r *receiver) close() {
	if r.server != nil {
		r.server.Close()
	}
}

// nameReceiver starts the receiver and asks the orchestrator to send it the ends of batches.
func (d *demo) nameReceiver(ctx context.Context) error {
	came := make(chan delivery, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err == nil {
			came <- delivery{q.Header, body}
		}
	}))
	d.receiver = receiver{server: server, came: came}
	out, err := d.verb(ctx, "orchestrator", "webhook", "create", server.URL, "--event", "batch.completed", "-o", "json")
	if err != nil {
		return err
	}
	var made struct{ ID, Secret string }
	if err := json.Unmarshal(out, &made); err != nil {
		return err
	}
	d.receiver.secret = made.Secret
	fmt.Printf("   batch.completed goes to %s\n", server.URL)
	return nil
}

// verifyWebhook waits for the delivery and checks both of its signatures.
func (d *demo) verifyWebhook(ctx context.Context) error {
	var got delivery
	select {
	case got = <-d.receiver.came:
	case <-ctx.Done():
		return ctx.Err()
	}
	secrets := []string{d.receiver.secret}
	if err := webhook.Verify(secrets, got.header, got.body, time.Now()); err != nil {
		return err
	}
	if err := webhook.VerifyBody(secrets, got.body); err != nil {
		return err
	}
	var event struct {
		Event string
		Data  struct{ Name, Status string }
	}
	if err := json.Unmarshal(got.body, &event); err != nil {
		return err
	}
	fmt.Printf("   %s of %s, signed with the webhook's secret\n", event.Event, event.Data.Name)
	return nil
}
