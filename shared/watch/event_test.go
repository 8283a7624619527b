package watch

import (
	"encoding/json"
	"log/slog"
	"reflect"
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

// Whichever way an event is made ready, the client gets the same, with the status and the ids of data in metadata.
func TestItem_glanceSeesWhatParseSees(t *testing.T) {
	t.Parallel()
	for body, plain := range map[string]bool{
		string(body300): true,
		`{"data":{"batch_id":"b","completed":3,"status":"x","total":4},"event_type":"BatchStatusChanged","timestamp":"t"}`:           true,
		`{"data":{"name":"n","output":"a},\"event_type\":\"no","task_id":"t,:{}1"},"event_type":"WorkflowProgress","timestamp":"t"}`: true,
		`{"data":{"output":"\\","task_id":"t"},"event_type":"WorkflowProgress","timestamp":"t"}`:                                     true,
		`{"data":{"output":"[{","progress":1.5,"task_id":"t"},"event_type":"WorkflowProgress","timestamp":"t"}`:                      true,
		`{"data":{},"event_type":"TaskStatusChanged","timestamp":"t"}`:                                                               false,
		`{"data":{"n":1},"event_type":"TaskStatusChanged","timestamp":"t"}`:                                                          false,
		`{"data":{"n":{"task_id":"no"},"task_id":"yes"},"event_type":"TaskStatusChanged","timestamp":"t"}`:                           false,
		`{"data":{"n":["task_id",{"}":1}],"task_id":"yes"},"event_type":"TaskStatusChanged","timestamp":"t"}`:                        false,
		`{"data":{"task_id":"t\n"},"event_type":"TaskStatusChanged","timestamp":"t"}`:                                                false,
		`{"data":{"task_id":7},"event_type":"TaskStatusChanged","timestamp":"t"}`:                                                    false,
		`{"data":{"rollback_id":"r"},"event_type":"RollbackStarted"}`:                                                                false,
		`{"data":{"task_id":"t"},"event_type":"TaskStatusChanged","metadata":{"task_id":"own"},"timestamp":"t"}`:                     false,
		`{ "data" : {"task_id" : "t"}, "timestamp":"t", "event_type":"TaskStatusChanged"}`:                                           false,
		`{"data":{"task_id":"t"`: false,
		`{"data":{"task_id":"`:   false,
		`{"data":{"task_id`:      false,
		`{"data":{"task_id":`:    false,
	} {
		var quick, full item
		want := full.parse(nil, []byte(body))
		got, ok := quick.glance(nil, []byte(body))
		if ok != plain {
			t.Errorf("glance says %v of %s", ok, body)
		}
		if !ok {
			continue
		}
		if quick.category != full.category || quick.task != full.task || quick.batch != full.batch {
			t.Errorf("%s: %v %q %q, want %v %q %q", body, quick.category, quick.task, quick.batch, full.category, full.task, full.batch)
		}
		var a, b map[string]any
		if json.Unmarshal(got, &a) != nil || json.Unmarshal(want, &b) != nil || !reflect.DeepEqual(a, b) || a["metadata"] == nil {
			t.Errorf("%s became\n%s, want\n%s", body, got, want)
		}
	}
}

func FuzzItem_isJSONWhateverIsStored(f *testing.F) {
	f.Add(body300)
	f.Add([]byte(" { } "))
	f.Add([]byte(`{"data":{"batch_id":"b\\","n":{"x":1}},"event_type":"BatchStatusChanged","metadata":null,"timestamp":"t"}`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		it := (&item{seq: 1, epoch: "e", stored: stored}).ready()
		if json.Valid(stored) && !json.Valid(it.body) {
			t.Errorf("%q became %s", stored, it.body)
		}
	})
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
