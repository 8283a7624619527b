package audit

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/store"
)

// TestCopier_aRequestIsNeverTooLargeForItsReceiver copies what the encoder blows up most: a flood
// of refused requests for names made of angle brackets must not hold up the copy for ever.
func TestCopier_aRequestIsNeverTooLargeForItsReceiver(t *testing.T) {
	t.Parallel()
	for _, filling := range []string{"<", ">", "&", `"`, `\`, "\x01", "\u2028", "é", "a"} {
		name := strings.Repeat(filling, maxText/len(filling))
		body, err := Entry{Action: "server.delete", Resource: "servers/" + name, Actor: Actor{Username: name}}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var entries []store.Entry
		for i := range store.MaxPage {
			entries = append(entries, store.Entry{Seq: uint64(i) + 1, Body: body})
		}
		next := int64(0)
		f := NewCopier(nil, slog.New(slog.NewTextHandler(io.Discard, nil)), func(_ context.Context, c *Copied) error {
			sent := c.JSON()
			var got struct {
				Entries []string
				First   int64
			}
			if err := json.Unmarshal(sent, &got); err != nil || len(sent) > 16<<20 {
				t.Errorf("%q: a request of %d bytes, %v", filling, len(sent), err)
			}
			if len(got.Entries) != len(c.Entries) || got.Entries[0] != string(body) || got.First != c.First {
				t.Errorf("%q: the request does not say what is copied", filling)
			}
			if c.First != next {
				t.Errorf("%q: first %d, want %d", filling, c.First, next)
			}
			next += int64(len(c.Entries))
			return nil
		})
		if err := f.Handle(t.Context(), entries); err != nil || next != store.MaxPage {
			t.Errorf("%q: %d entries copied, %v", filling, next, err)
		}
	}
}
