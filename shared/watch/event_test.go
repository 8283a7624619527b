package watch

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/store"
)

// ready returns the event of epoch "e" that stored is.
func ready(seq uint64, stored []byte) *item {
	return prepare(`"e"`, nil, []store.Entry{{Seq: seq, Body: stored}})[0].ready()
}

func TestItem_keepsTheStoredBytes(t *testing.T) {
	t.Parallel()
	for stored, want := range map[string]string{
		`{"event_type":"TaskStatusChanged","n":1e2}`: `{"event_type":"TaskStatusChanged","n":1e2,"epoch":"e","sequence":7}`,
		`{}`:   `{"epoch":"e","sequence":7}`,
		`null`: `{"epoch":"e","sequence":7}`,
		`[1]`:  `{"epoch":"e","sequence":7}`,
		``:     `{"epoch":"e","sequence":7}`,
	} {
		it := ready(7, []byte(stored))
		if string(it.body()) != want || !json.Valid(it.body()) {
			t.Errorf("%q became %s", stored, it.body())
		}
	}
	long := `{"a":"` + strings.Repeat("x", 65400) + `"}`
	for _, stored := range []string{`{"a":1}`, `{"a":"` + strings.Repeat("x", 200) + `"}`, long, long[:65408] + strings.Repeat("x", 200) + `"}`} {
		it := ready(1, []byte(stored))
		if !strings.HasSuffix(string(it.frame), string(it.body())) || len(it.frame)-len(it.body()) > maxHeader {
			t.Errorf("frame of %d bytes over a body of %d", len(it.frame), len(it.body()))
		}
	}
}

// The client gets the status and the ids of data in metadata too, and filters see the ids, however an event is written.
func TestItem_metadataRepeatsData(t *testing.T) {
	t.Parallel()
	const progress, task, batch = mask(1 << 2), mask(1 << 0), mask(1 << 1)
	for stored, want := range map[string]struct {
		metadata    string // "" for none
		category    mask
		task, batch string
	}{
		`{"data":{"batch_id":"b","completed":3,"status":"x","total":4},"event_type":"BatchStatusChanged","timestamp":"t"}`:           {`{"batch_id":"b","status":"x"}`, batch, "", "b"},
		`{"data":{"name":"n","output":"a},\"event_type\":\"no","task_id":"t,:{}1"},"event_type":"WorkflowProgress","timestamp":"t"}`: {`{"task_id":"t,:{}1"}`, progress, "t,:{}1", ""},
		`{"data":{"output":"\\","task_id":"t"},"event_type":"WorkflowProgress","timestamp":"t"}`:                                     {`{"task_id":"t"}`, progress, "t", ""},
		`{"data":{"output":"[{","progress":1.5,"task_id":"t"},"event_type":"WorkflowProgress","timestamp":"t"}`:                      {`{"task_id":"t"}`, progress, "t", ""},
		`{"data":{},"event_type":"TaskStatusChanged","timestamp":"t"}`:                                                               {"", task, "", ""},
		`{"data":{"n":1},"event_type":"TaskStatusChanged","timestamp":"t"}`:                                                          {"", task, "", ""},
		`{"data":{"n":{"task_id":"no"},"task_id":"yes"},"event_type":"TaskStatusChanged","timestamp":"t"}`:                           {`{"task_id":"yes"}`, task, "yes", ""},
		`{"data":{"n":["task_id",{"}":1}],"task_id":"yes"},"event_type":"TaskStatusChanged","timestamp":"t"}`:                        {`{"task_id":"yes"}`, task, "yes", ""},
		`{"data":{"task_id":"t\n"},"event_type":"TaskStatusChanged","timestamp":"t"}`:                                                {`{"task_id":"t\n"}`, task, "t\n", ""},
		`{"data":{"task_id":7},"event_type":"TaskStatusChanged","timestamp":"t"}`:                                                    {"", task, "", ""},
		`{"data":{"rollback_id":"r"},"event_type":"RollbackStarted"}`:                                                                {`{"rollback_id":"r"}`, 1 << 3, "", ""},
		`{"data":{"task_id":"t"},"event_type":"TaskStatusChanged","metadata":{"task_id":"own"},"timestamp":"t"}`:                     {`{"task_id":"own"}`, task, "own", ""},
		`{"data":{"task_id":"t"},"event_type":"TaskStatusChanged","metadata":null}`:                                                  {`null`, task, "", ""},
		`{ "data" : {"x" : 1.0, "task_id" : "t"}, "timestamp":"t", "event_type":"TaskStatusChanged"}`:                                {`{"task_id":"t"}`, task, "t", ""},
		`{"data":7,"event_type":8}`: {"", 1 << 4, "", ""},
		`{"data":{"task_id":"t"`:    {"", 0, "", ""},
		`{"data":{"task_id":`:       {"", 0, "", ""},
	} {
		it := ready(7, []byte(stored))
		if it.category != want.category || string(it.task) != want.task || string(it.batch) != want.batch {
			t.Errorf("%s: %v %q %q", stored, it.category, it.task, it.batch)
		}
		var wire, original map[string]json.RawMessage
		if err := json.Unmarshal(it.body(), &wire); err != nil {
			t.Fatalf("%s became %s: %v", stored, it.body(), err)
		}
		if string(wire["metadata"]) != want.metadata || string(wire["sequence"]) != "7" || string(wire["epoch"]) != `"e"` {
			t.Errorf("%s became %s", stored, it.body())
		}
		_ = json.Unmarshal([]byte(stored), &original)
		for name, value := range original {
			var compact bytes.Buffer
			if err := json.Compact(&compact, value); err != nil || string(wire[name]) != compact.String() {
				t.Errorf("%s: %s became %s", stored, name, wire[name])
			}
		}
	}
}

func FuzzItem_isJSONWhateverIsStored(f *testing.F) {
	f.Add(body300)
	f.Add([]byte(" { } "))
	f.Add([]byte(`{"data":{"batch_id":"b\\","n":{"x":1}},"event_type":"BatchStatusChanged","metadata":null,"timestamp":"t"}`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		it := ready(1, stored)
		if json.Valid(stored) && !json.Valid(it.body()) {
			t.Errorf("%q became %s", stored, it.body())
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

// TestPage_framesLieInOnePiece looks at the frames of neighbours, and at what a socket that ends within one leaves of the next.
func TestPage_framesLieInOnePiece(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	ws := p.dial(t, "token=ann")
	say(t, ws, `{"type":"ping"}`) // whose answer says that the socket is served
	next(t, ws)
	var entries []store.Entry
	for i, body := range []string{`{}`, string(body300), `{"a":"` + strings.Repeat("x", 70_000) + `"}`, `{"a":1}`} {
		entries = append(entries, store.Entry{Seq: uint64(i + 1), Body: []byte(body)})
	}
	items := prepare(`"e"`, nil, entries)
	for i, it := range items[:3] {
		if before, after := it.ready().frame, items[i+1].frame; !adjoin(before, after) || adjoin(after, before) {
			t.Errorf("frames %d and %d do not lie one behind the other", i, i+1)
		}
	}
	was := bytes.Clone(items[1].frame)
	for _, c := range p.open() {
		c.mu.Lock()
		c.code = 1000
		c.mu.Unlock()
		c.goodbye(items[0].frame)
	}
	if !bytes.Equal(items[1].frame, was) {
		t.Errorf("the next frame became %q", items[1].frame)
	}
	if got := next(t, ws); got["sequence"] != 1.0 {
		t.Errorf("got %v", got)
	}
}
