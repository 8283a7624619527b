package watch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/provisioning-platform/platform/shared/store"
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
		frame := make([]byte, maxHeader, maxHeader+len(it.stored)+len(it.epoch)+256)
		frame = it.open(frame)
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

// open appends the stored object without its end, ready for more members, and takes out type and ids. The metadata of
// an event repeats members of its data (contract I16), so what is stored has none and it is put in here.
func (it *item) open(out []byte) []byte {
	body := it.stored
	if store.CheckCanonical(body) != nil { // none of ours
		var compact bytes.Buffer
		if json.Compact(&compact, body) != nil {
			return append(out, '{') // nothing that we store; but its number exists
		}
		body = compact.Bytes()
	}
	if body[0] != '{' {
		return append(out, '{')
	}
	it.category = categoryOf("")
	var data, metadata json.RawMessage
	for name, value := range store.Members(body) {
		switch name {
		case "data":
			data = value
		case "event_type":
			kind, _ := store.Text(value)
			it.category = categoryOf(kind)
		case "metadata":
			metadata = value
		}
	}
	out = append(out, body[:len(body)-1]...)
	if len(body) > 2 {
		out = append(out, ',')
	}
	from, start := metadata, len(out)
	if metadata == nil {
		from = data
	}
	for name, value := range store.Members(from) {
		if !repeated(name) || value[0] != '"' {
			continue
		}
		switch name {
		case "batch_id":
			it.batch, _ = store.Text(value)
		case "task_id":
			it.task, _ = store.Text(value)
		}
		if metadata == nil {
			if len(out) == start {
				out = append(out, `"metadata":{`...)
			}
			out = append(append(append(append(append(out, '"'), name...), `":`...), value...), ',')
		}
	}
	if len(out) > start {
		out = append(out[:len(out)-1], "},"...)
	}
	return out
}

// repeated says which members of data an event has in its metadata too: texts that somebody filters or routes by.
func repeated(name string) bool {
	switch name {
	case "batch_id", "checkpoint_id", "rollback_id", "status", "task_id":
		return true
	}
	return false
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
