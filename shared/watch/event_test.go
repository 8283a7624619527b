package watch

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
)

func TestItem_keepsTheStoredBytes(t *testing.T) {
	t.Parallel()
	for stored, want := range map[string]string{
		`{"event_type":"TaskStatusChanged","n":1e2}`: `{"event_type":"TaskStatusChanged","n":1e2,"epoch":"e","sequence":7}`,
		`{}`:   `{"epoch":"e","sequence":7}`,
		`null`: `{"epoch":"e","sequence":7}`,
		`[1]`:  `{"epoch":"e","sequence":7}`,
		``:     `{"epoch":"e","sequence":7}`,
	} {
		it := (&item{seq: 7, epoch: "e", stored: []byte(stored)}).ready()
		if string(it.body) != want || !json.Valid(it.body) {
			t.Errorf("%q became %s", stored, it.body)
		}
	}
	long := `{"a":"` + strings.Repeat("x", 65400) + `"}`
	for _, stored := range []string{`{"a":1}`, `{"a":"` + strings.Repeat("x", 200) + `"}`, long, long[:65408] + strings.Repeat("x", 200) + `"}`} {
		it := (&item{seq: 1, epoch: "e", stored: []byte(stored)}).ready()
		if !strings.HasSuffix(string(it.frame), string(it.body)) || len(it.frame)-len(it.body) > maxHeader {
			t.Errorf("frame of %d bytes over a body of %d", len(it.frame), len(it.body))
		}
	}
}

func TestItem_glanceSeesWhatParseSees(t *testing.T) {
	for body, plain := range map[string]bool{
		string(body300[:len(body300)-len(`,"pad":"xxxxxxxxxxxxxxxxxxxxxxxx"}`)]) + "}":                                                                     true,
		`{"data":{},"event_type":"BatchStatusChanged","metadata":{"batch_id":"b","status":"x"},"timestamp":"t"}`:                                           true,
		`{"data":{"output":"a},\"event_type\":\"no"},"event_type":"WorkflowProgress","metadata":{"task_id":"t,:{}1"},"timestamp":"t"}`:                     false,
		`{"data":{"output":"a},\"event_type\":\"no"},"event_type":"WorkflowProgress","metadata":{"task_id":"t,:1"},"timestamp":"t"}`:                       true,
		`{"data":{},"event_type":"TaskStatusChanged","metadata":{},"timestamp":"t"}`:                                                                       false,
		`{"data":{},"event_type":"TaskStatusChanged","metadata":{"batch_id":"b","n":1,"task_id":"t"},"timestamp":"t"}`:                                     false,
		`{"data":{},"event_type":"TaskStatusChanged","metadata":{"batch_id":"b\n","task_id":"t"},"timestamp":"t"}`:                                         false,
		`{"data":{},"event_type":"RollbackStarted","metadata":{"rollback_id":"r"}}`:                                                                        false,
		`{"data":{"x":{"a":1},"event_type":"no","metadata":{"task_id":"no"}},"event_type":"RollbackStarted","metadata":{"task_id":"yes"},"timestamp":"t"}`: true,
	} {
		var quick, full item
		if !full.parse([]byte(body)) {
			t.Fatalf("not JSON: %s", body)
		}
		if got := quick.glance([]byte(body)); got != plain {
			t.Errorf("glance says %v of %s", got, body)
		} else if got && (quick.category != full.category || quick.task != full.task || quick.batch != full.batch) {
			t.Errorf("%s: %v %q %q, want %v %q %q", body, quick.category, quick.task, quick.batch, full.category, full.task, full.batch)
		}
	}
}

// TestConn_slowBeforeItSaidWhoItIs ends a socket whose client does not even read the answers to its pings.
func TestConn_slowBeforeItSaidWhoItIs(t *testing.T) {
	t.Parallel()
	h := New(Config{Log: slog.New(slog.DiscardHandler)})
	c := newConn(h)
	c.stopSlow()
	if h.Stats().SlowCut != 1 || c.stop(1000, "again") {
		t.Error("not ended")
	}
}
