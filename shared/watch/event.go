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

// ready fills in the rest: metadata, sequence and epoch are put in, all else stays as stored.
func (it *item) ready() *item {
	it.once.Do(func() {
		body := it.stored
		frame := make([]byte, maxHeader, maxHeader+len(body)+len(it.epoch)+256)
		whole, ok := it.glance(frame, body)
		if !ok {
			whole = it.parse(frame, body)
		}
		frame = whole[:len(whole)-1]
		if frame[len(frame)-1] != '{' {
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

// repeated says which members of data an event has in its metadata too (contract I16): texts that somebody filters or
// routes by. They are not stored twice.
func repeated(name []byte) bool {
	switch string(name) {
	case "batch_id", "checkpoint_id", "rollback_id", "status", "task_id":
		return true
	}
	return false
}

// parse appends an event in any JSON text with its metadata, and takes out type and ids.
func (it *item) parse(out, body []byte) []byte {
	var head struct {
		EventType string         `json:"event_type"`
		Data      map[string]any `json:"data"`
		Metadata  map[string]any `json:"metadata"`
	}
	var text bytes.Buffer
	if json.Unmarshal(body, &head) != nil || json.Compact(&text, body) != nil || text.Bytes()[0] != '{' {
		return append(out, `{}`...) // nothing we store; but its number exists
	}
	out = append(out, text.Bytes()...)
	if head.Metadata == nil {
		head.Metadata = map[string]any{}
		for name, v := range head.Data {
			if text, ok := v.(string); ok && repeated([]byte(name)) {
				head.Metadata[name] = text
			}
		}
		if meta, err := json.Marshal(head.Metadata); err == nil && len(head.Metadata) > 0 {
			out = append(append(append(out[:len(out)-1], `,"metadata":`...), meta...), '}')
		}
	}
	it.category = categoryOf(head.EventType)
	it.task, _ = head.Metadata["task_id"].(string)
	it.batch, _ = head.Metadata["batch_id"].(string)
	return out
}

// The seams of an event as it is stored.
const (
	seamData = `{"data":{`
	seamType = `},"event_type":"`
	seamTime = `","timestamp":"`
)

// glance is parse for the form that nearly all events have: data of plain texts and numbers, event_type, timestamp. It
// returns false for everything else, and is an order of magnitude cheaper.
func (it *item) glance(out, body []byte) ([]byte, bool) {
	if !bytes.HasPrefix(body, []byte(seamData)) {
		return out, false
	}
	var room [256]byte
	meta := room[:0]
	task, batch := "", ""
	at := len(seamData)
	for at < len(body) && body[at] == '"' {
		name := at + 1
		colon := bytes.IndexByte(body[name:], '"') + name
		value := colon + 2
		if colon < name || value >= len(body) || body[colon+1] != ':' {
			return out, false
		}
		end := value
		if body[value] == '"' {
			end = endOfText(body, value)
		}
		for end < len(body) && body[end] != ',' && body[end] != '}' {
			if body[end] == '{' || body[end] == '[' {
				return out, false
			}
			end++
		}
		if end == len(body) {
			return out, false
		}
		if member := body[at:end]; body[value] == '"' && repeated(body[name:colon]) {
			text := string(body[value+1 : end-1])
			if strings.IndexByte(text, '\\') >= 0 {
				return out, false
			}
			switch string(body[name:colon]) {
			case "task_id":
				task = text
			case "batch_id":
				batch = text
			}
			meta = append(append(meta, ','), member...)
		}
		if at = end; body[at] == ',' {
			at++
		}
	}
	kind, ok := bytes.CutPrefix(body[at:], []byte(seamType))
	quote := bytes.IndexByte(kind, '"')
	if !ok || quote < 0 || !bytes.HasPrefix(kind[quote:], []byte(seamTime)) || !bytes.HasSuffix(kind, []byte(`"}`)) || len(meta) == 0 {
		return out, false
	}
	it.category, it.task, it.batch = categoryOf(string(kind[:quote])), task, batch
	out = append(out, body[:len(body)-len(kind)+quote+1]...)
	out = append(append(append(out, `,"metadata":{`...), meta[1:]...), '}')
	return append(out, kind[quote+1:]...), true
}

// endOfText returns where the string ends that begins at i, behind its quote, or the end of b.
func endOfText(b []byte, i int) int {
	for at := i + 1; ; {
		n := bytes.IndexByte(b[at:], '"')
		if n < 0 {
			return len(b)
		}
		end, escapes := at+n, 0
		for b[end-1-escapes] == '\\' {
			escapes++
		}
		if at = end + 1; escapes%2 == 0 {
			return at
		}
	}
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
