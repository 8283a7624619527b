package security

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestDirectory_passwordsStandNowhere: no password that the Provisioning API is sent, right or
// wrong, is in a file of the services, their logs or metrics; each administrative act has one audit
// entry, and no message has one.
func TestDirectory_passwordsStandNowhere(t *testing.T) {
	r := rigtest.Start(t, rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir(), Directory: "127.0.0.1:0"})
	c := &canaries{forms: map[string][][]byte{}}
	as := func(name, password string) *client.Directory {
		c.add("the password of "+name, password)
		return &client.Directory{Base: r.ControlCenter.Directory, Username: name, Password: secret.New(password)}
	}
	role := func(file, name string) *client.Directory {
		password, err := os.ReadFile(r.DirectoryPassword(file))
		if err != nil {
			t.Fatal(err)
		}
		return as(name, strings.TrimSpace(string(password)))
	}
	admin, publisher := role("admin", "admin"), role("publisher", "udm")
	ctx := t.Context()
	try := func(what string, err error, want ...fault.Kind) {
		t.Helper()
		if len(want) == 0 && err != nil || len(want) > 0 && !fault.Is(err, want[0]) {
			t.Errorf("%s: %v", what, err)
		}
	}
	topics := []client.RealmTopic{{Realm: "udm", Topic: "users/user"}}
	consumer, changed := as("mail", "first of the consumer"), as("mail", "second of the consumer")
	try("create", admin.Subscribe(ctx, client.NewSubscription{Name: marker, Password: "of nobody at all", Topics: topics}))
	try("create", admin.Subscribe(ctx, client.NewSubscription{Name: "mail", Password: "first of the consumer", Topics: topics}))
	for _, wrong := range []*client.Directory{as("mail", "typed-by-mistake-1"), as("admin", "typed-by-mistake-2"),
		as("typed-by-mistake-3", "typed-by-mistake-4")} {
		_, _, err := wrong.Next(ctx, 0)
		try("a wrong password", err, fault.Unauthenticated)
		try("a wrong password", wrong.Unsubscribe(ctx, "mail"), fault.Unauthenticated)
		try("a wrong password", wrong.Publish(ctx, client.DirectoryEvent{}), fault.Unauthenticated)
	}
	const messages = 5
	event := client.DirectoryEvent{Publisher: "udm-listener", Timestamp: "2026-01-01T00:00:00", Realm: "udm", Topic: "users/user",
		Body: client.DirectoryDelta{Old: json.RawMessage(`{}`), New: json.RawMessage(`{"objectType":"users/user"}`)}}
	for i := range messages {
		try("publish", publisher.Publish(ctx, event))
		e, reason, err := consumer.Next(ctx, patience)
		if err != nil || e == nil {
			t.Fatal(i, reason, err)
		}
		try("acknowledge", consumer.Acknowledge(ctx, e.Sequence))
	}
	try("a body that is too large", tooLarge(ctx, publisher), fault.TooLarge)
	password := "second of the consumer"
	try("update", admin.UpdateSubscription(ctx, "mail", client.SubscriptionEdit{Password: &password}))
	_, err := consumer.Subscription(ctx)
	try("the old password", err, fault.Unauthenticated)
	_, err = changed.Subscription(ctx)
	try("the new password", err)
	try("delete", admin.Unsubscribe(ctx, "mail"))

	rigtest.Await(t, patience, "each act has one audit entry", func() bool {
		return auditCount(t, r, "subscription.create") == 2 && auditCount(t, r, "subscription.update") == 1 &&
			auditCount(t, r, "subscription.delete") == 1
	})
	for _, action := range []string{"message.publish", "message.acknowledge"} {
		if n := auditCount(t, r, action); n != 0 {
			t.Errorf("%d messages have an audit entry %s", n, action)
		}
	}
	search := func(what string, b []byte) {
		if found := c.in(b); len(found) > 0 {
			t.Errorf("%s holds %v", what, found)
		}
	}
	for _, path := range []string{"/metrics", "/audit/logs?limit=1000"} {
		a := rigtest.Send(t, "GET", r.ControlCenter.Address+path, r.Token.Reveal(), nil)
		if a.Status != http.StatusOK {
			t.Errorf("%s: %d", path, a.Status)
		}
		search(path, a.Raw)
	}
	seen := 0
	err = filepath.WalkDir(r.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), "provisioning-") { // the files of the roles
			return nil //nolint:nilerr // a file of a running store may go
		}
		b, err := os.ReadFile(path)
		if err == nil {
			search(path, b)
			seen += strings.Count(string(b), marker)
		}
		return nil
	})
	if err != nil || seen == 0 {
		t.Errorf("the search of the files is blind: the name of a subscription stands in them %d times (%v)", seen, err)
	}
}

// tooLarge publishes a message of 8 MiB.
func tooLarge(ctx context.Context, publisher *client.Directory) error {
	text, err := json.Marshal(map[string]string{"objectType": "users/user", "jpegPhoto": strings.Repeat("A", 8<<20)})
	return errors.Join(err, publisher.Publish(ctx,
		client.DirectoryEvent{Publisher: "udm-listener", Timestamp: "2026-01-01", Realm: "udm", Topic: "users/user",
			Body: client.DirectoryDelta{Old: json.RawMessage(`{}`), New: text}}))
}

// auditCount returns how many audit entries have that action and succeeded.
func auditCount(t *testing.T, r *rig.Rig, action string) int {
	t.Helper()
	list, err := r.CC(r.Token).AuditLogs(t.Context(), client.AuditFilter{Action: action}, client.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, row := range list.Rows {
		if row.Result == "success" {
			n++
		}
	}
	return n
}
