package watch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// mask is a set of categories, a bit each, in the order of Categories.
type mask uint8

// Categories returns the names that events= and subscribe know (contracts/platform.md Q16).
func Categories() []string { return []string{"task", "batch", "progress", "rollback", "system"} }

const everything = mask(1<<5 - 1)

// categoryOf returns the category of an event type; what is unknown here is for those who may see the
// system's own events.
func categoryOf(eventType string) mask {
	switch eventType {
	case "TaskStatusChanged":
		return 1 << 0
	case "BatchStatusChanged", "OperationStatusChanged":
		return 1 << 1
	case "WorkflowProgress":
		return 1 << 2
	case "CheckpointCreated", "RollbackStarted", "RollbackCompleted", "TaskRolledBack":
		return 1 << 3
	default:
		return 1 << 4
	}
}

// parseCategories returns the set named by the words; all of them for no word.
func parseCategories(words []string) (mask, error) {
	if len(words) == 0 {
		return everything, nil
	}
	var m mask
next:
	for _, w := range words {
		for i, name := range Categories() {
			if strings.TrimSpace(w) == name {
				m |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("unknown event category %.40q; known are %s", w, strings.Join(Categories(), ", "))
	}
	return m, nil
}

func (m mask) names() []string {
	out := []string{}
	for i, name := range Categories() {
		if m&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// item is one event of the stream, shared by all connections. It is made ready by the first that needs
// it, so that events nobody watches cost nothing but their reading.
type item struct {
	seq    uint64
	epoch  string
	stored []byte

	once     sync.Once // guards what follows
	category mask
	task     string
	batch    string
	frame    []byte // the text frame as it goes over the wire
	body     []byte // the JSON object in it
}

// ready fills in the rest: sequence and epoch are put in front of the closing brace, all else stays as
// stored.
func (it *item) ready() *item {
	it.once.Do(func() {
		body := it.stored
		if !it.glance(body) && !it.parse(body) {
			body = []byte(`{}`) // nothing we store; but its number exists
		}
		frame := make([]byte, maxHeader, maxHeader+len(body)+len(it.epoch)+48)
		frame = append(frame, body[:len(body)-1]...)
		if len(body) > 2 {
			frame = append(frame, ',')
		}
		frame = append(frame, `"epoch":`...)
		frame = strconv.AppendQuote(frame, it.epoch)
		frame = append(frame, `,"sequence":`...)
		frame = strconv.AppendUint(frame, it.seq, 10)
		frame = append(frame, '}')
		it.body = frame[maxHeader:]
		it.frame = sealFrame(opText, frame)
		it.stored = nil
	})
	return it
}

// parse takes type and ids out of an event in any JSON text.
func (it *item) parse(body []byte) bool {
	var head struct {
		EventType string         `json:"event_type"`
		Metadata  map[string]any `json:"metadata"`
	}
	if json.Unmarshal(body, &head) != nil || body[0] != '{' {
		return false
	}
	it.category = categoryOf(head.EventType)
	it.task, _ = head.Metadata["task_id"].(string)
	it.batch, _ = head.Metadata["batch_id"].(string)
	return true
}

// The seams of an event as it is stored: canonical JSON, whose strings cannot contain them.
var (
	seamType     = []byte(`},"event_type":"`)
	seamMetadata = []byte(`","metadata":{"`)
	seamTime     = []byte(`"},"timestamp":"`)
)

// glance is parse for the form that nearly all events have: data, event_type, metadata of plain texts, timestamp. It
// returns false for everything else, and is an order of magnitude cheaper.
func (it *item) glance(body []byte) bool {
	at := bytes.LastIndex(body, seamType)
	if at < 0 || !bytes.HasPrefix(body, []byte(`{"data":{`)) || !bytes.HasSuffix(body, []byte(`"}`)) {
		return false
	}
	kind, rest, ok := bytes.Cut(body[at+len(seamType):], seamMetadata)
	metadata, _, ends := bytes.Cut(rest, seamTime)
	if !ok || !ends || bytes.IndexByte(metadata, '\\') >= 0 || bytes.IndexByte(metadata, '{') >= 0 {
		return false
	}
	task, batch := "", ""
	for len(metadata) > 0 { // name":"value and, between two, ","
		var name, value []byte
		if name, metadata, ok = bytes.Cut(metadata, []byte(`":"`)); !ok || bytes.IndexByte(name, '"') >= 0 {
			return false
		}
		value, metadata, _ = bytes.Cut(metadata, []byte(`","`))
		if bytes.IndexByte(value, '"') >= 0 {
			return false
		}
		switch string(name) {
		case "task_id":
			task = string(value)
		case "batch_id":
			batch = string(value)
		}
	}
	it.category, it.task, it.batch = categoryOf(string(kind)), task, batch
	return true
}

// filter is what a client asked to see; it is replaced, never changed.
type filter struct {
	categories mask
	tasks      map[string]bool // nil: any
	batches    map[string]bool // nil: any
}

// passes says whether the event is asked for. With ids of both sorts, one of them is enough.
func (f *filter) passes(it *item) bool {
	if f.categories&it.category == 0 {
		return false
	}
	if f.tasks == nil && f.batches == nil {
		return true
	}
	return f.tasks[it.task] || f.batches[it.batch]
}
