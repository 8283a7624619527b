package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/store"
)

func sample() Entry {
	return Entry{
		Action: "server.create",
		Actor:  Actor{AMR: []string{"pwd", "otp"}, IP: "192.0.2.1", JTI: "j", SID: "s", Sub: "u", Username: "änne \"x\"\n"},
		Code:   "c", Decision: decided("web-01"),
		Details: map[string]any{"z": 1, "a": []string{"x"}}, ID: "i", Op: "o", OpID: "p", Origin: "orchestrator",
		Phase: Event, RequestID: "q", Resource: "servers/web-01", Result: Success,
		Time: time.Date(2025, 9, 26, 10, 0, 0, 123456789, time.UTC), V: 1,
	}
}

func TestEncode_isWhatTheStructDeclares(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]Entry{"full": sample(), "bare": {Action: "a", Time: time.Unix(0, 0).UTC()},
		"actor": {Actor: Actor{Sub: "x"}},
		"plain": {Details: map[string]any{"run": "r", "attempt": -2, "ä\n": "\"ö\\", "": ""}}} {
		got, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		want, err := canonical.Make(e)
		if err != nil {
			t.Fatal(err)
		}
		// encoding/json leaves digits of a time out that say nothing, and keeps those below a
		// microsecond.
		said, err := json.Marshal(e.Time)
		if err != nil {
			t.Fatal(err)
		}
		want = bytes.Replace(want, said, []byte(`"`+instant.Format(e.Time)+`"`), 1)
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestEncode_nothingMakesAnActUnrecordable(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("ü", 1<<20)
	e := sample()
	e.Actor.Username, e.Resource, e.RequestID, e.Code, e.Action, e.Op = huge, huge, "\xff\xfe", huge, huge, huge
	e.Details = map[string]any{"big": huge, "small": 1, strings.Repeat("k", 1<<16): 1}
	for range 2000 {
		e.Decision.Act.Asked = append(e.Decision.Act.Asked,
			authz.Asked{Action: "create", Resource: authz.Resource{Type: "servers", Name: huge[:200]}})
		e.Actor.AMR = append(e.Actor.AMR, huge)
	}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > store.MaxEntry {
		t.Fatalf("%d bytes", len(b))
	}
	var back Entry
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if back.Details["small"] != 1.0 || len(back.Details["truncated"].([]any)) != 2 {
		t.Errorf("details %v", back.Details)
	}
	if !strings.HasSuffix(back.Resource, "…") {
		t.Errorf("a cut text does not say so")
	}
}

func BenchmarkEncode(b *testing.B) {
	e := sample()
	e.Actor.Username, e.Details = "anne", map[string]any{"attempt": 1}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
