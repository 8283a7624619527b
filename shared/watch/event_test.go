package watch

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/store"
)

// ready returns an event of epoch "e1".
func ready(seq uint64, stored []byte) *item {
	h := New(Config{Epoch: "e1", Categories: []string{"task", "batch"}, Labels: labelsOf})
	return h.prepare(nil, []store.Entry{{Seq: seq, Body: stored}})[0].ready()
}

func TestItem_keepsTheStoredBytes(t *testing.T) {
	t.Parallel()
	for stored, want := range map[string]string{
		`{"event_type":"TaskStatusChanged","n":1e2}`: `{"event_type":"TaskStatusChanged","n":1e2,"epoch":"e1","sequence":7}`,
		`{}`:   `{"epoch":"e1","sequence":7}`,
		`null`: `{"epoch":"e1","sequence":7}`,
		`[1]`:  `{"epoch":"e1","sequence":7}`,
		``:     `{"epoch":"e1","sequence":7}`,
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

func TestItem_takesItsLabelsFromTheConfig(t *testing.T) {
	t.Parallel()
	for stored, want := range map[string]item{
		`{"event_type":"TaskStatusChanged","metadata":{"task_id":"t1"}}`:                  {category: 1, labels: Labels{TaskID: "t1"}},
		`{"event_type":"BatchStatusChanged","metadata":{"batch_id":"b1","task_id":"t1"}}`: {category: 2, labels: Labels{TaskID: "t1", BatchID: "b1"}},
		`{"event_type":"SystemHealthChanged"}`:                                            {}, // of no category of this handler
	} {
		it := ready(7, []byte(stored))
		if it.category != want.category || it.labels.TaskID != want.labels.TaskID || it.labels.BatchID != want.labels.BatchID {
			t.Errorf("%s: %v %+v", stored, it.category, it.labels)
		}
	}
}

func FuzzItem_isJSONWhateverIsStored(f *testing.F) {
	f.Add(body300)
	f.Add([]byte(" { } "))
	f.Add([]byte(`{"data":{"batch_id":"b\\","n":{"x":1}},"event_type":"BatchStatusChanged","metadata":null,"timestamp":"t"}`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		var compact bytes.Buffer
		if json.Compact(&compact, stored) != nil {
			return // what is stored is JSON without blanks
		}
		if it := ready(1, compact.Bytes()); !json.Valid(it.body()) {
			t.Errorf("%q became %s", compact.Bytes(), it.body())
		}
	})
}

// TestConn_slowBeforeItSaidWhoItIs ends a socket whose client does not even read the answers to its
// pings.
func TestConn_slowBeforeItSaidWhoItIs(t *testing.T) {
	t.Parallel()
	h := New(Config{Log: slog.New(slog.DiscardHandler)})
	c := newConn(h)
	c.stopSlow()
	if h.Stats().SlowCut != 1 || c.stop(1000, "again") {
		t.Error("not ended")
	}
}

// TestPage_framesLieInOnePiece looks at the frames of neighbours, and at what a socket that ends
// within one leaves of the next.
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
	items := p.prepare(nil, entries)
	for i, it := range items[:3] {
		if before, after := it.ready().frame, items[i+1].frame; !adjacent(before, after) || adjacent(after, before) {
			t.Errorf("frames %d and %d do not lie one behind the other", i, i+1)
		}
	}
	was := bytes.Clone(items[1].frame)
	for _, c := range p.open() {
		c.mu.Lock()
		c.code = 1000
		c.mu.Unlock()
		c.sendClose(items[0].frame)
	}
	if !bytes.Equal(items[1].frame, was) {
		t.Errorf("the next frame became %q", items[1].frame)
	}
	if got := next(t, ws); got["sequence"] != 1.0 {
		t.Errorf("got %v", got)
	}
}
