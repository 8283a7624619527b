package watch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/provisioning-platform/platform/shared/canonical"
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
	case "BatchStatusChanged", "OperationStatusChanged", "RightsWithdrawn":
		return 1 << 1
	case "WorkflowProgress":
		return 1 << 2
	case "CheckpointCreated", "CheckpointDeleted", "CheckpointRecordOnly", "RollbackStarted", "RollbackCompleted", "TaskRolledBack":
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

// page is what one read of the store found. Its events are made ready together, by the first who needs one of them: so
// events nobody watches cost nothing but their reading, and the frames of neighbours lie in one piece.
type page struct {
	once  sync.Once // guards what items hold
	epoch string    // in quotes
	items []item
}

// item is one event of the stream, shared by all connections.
type item struct {
	page     *page
	seq      uint64
	frame    []byte // as stored; once ready, the text frame as it goes over the wire
	header   uint8  // bytes of the frame in front of its payload
	category mask
	task     []byte
	batch    []byte
}

// prepare appends the events of a page to into; epoch is in quotes.
func prepare(epoch string, into []*item, entries []store.Entry) []*item {
	p := &page{epoch: epoch, items: make([]item, len(entries))}
	for i, e := range entries {
		p.items[i] = item{page: p, seq: e.Seq, frame: e.Body}
		into = append(into, &p.items[i])
	}
	return into
}

// ready fills in the rest: metadata, sequence and epoch are put in, all else stays as stored.
func (it *item) ready() *item {
	it.page.once.Do(it.page.render)
	return it
}

// body returns the JSON object in the frame.
func (it *item) body() []byte { return it.frame[it.header:] }

// added is about what the engine's events grow by, beside the epoch; with more, the page's buffer grows once more.
const added = 192

func (p *page) render() {
	size := 0
	for i := range p.items {
		size += len(p.items[i].frame) + len(p.epoch) + added
	}
	out, said := make([]byte, 0, size), new(textCache)
	note := said.note // made once
	for i := range p.items {
		out = p.items[i].render(out, p.epoch, said, note)
	}
}

// render appends the frame to out.
func (it *item) render(out []byte, epoch string, said *textCache, note func(parent, name, value []byte)) []byte {
	start, header, n := len(out), 0, 1<<16-1 // a guess: most headers are as long as for this length
	for {
		out = appendHeader(out[:start], opText, n)
		header = len(out) - start
		out = it.open(out, said, note)
		out = append(append(out, `"epoch":`...), epoch...)
		out = strconv.AppendUint(append(out, `,"sequence":`...), it.seq, 10)
		out = append(out, '}')
		n = len(out) - start - header
		if len(appendHeader(out[:start], opText, n)) == start+header {
			break
		}
	}
	it.frame, it.header = out[start:], uint8(header)
	return out
}

// open appends the stored object without its end, ready for more members, and takes out type and ids. The metadata of
// an event repeats members of its data (contract I16), so what is stored has none and it is put in here.
func (it *item) open(out []byte, said *textCache, note func(parent, name, value []byte)) []byte {
	body := it.frame
	*said = textCache{}
	if canonical.Scan(body, note) != nil { // none of ours
		var compact bytes.Buffer
		if json.Compact(&compact, body) != nil {
			return append(out, '{') // nothing that we store; but its number exists
		}
		body, *said = compact.Bytes(), textCache{}
		for name, value := range canonical.Members(body) {
			for inner, value := range canonical.Members(value) {
				note([]byte(name), []byte(inner), value)
			}
			note(nil, []byte(name), value)
		}
	}
	if body[0] != '{' {
		return append(out, '{')
	}
	it.category = categoryOf(string(text(said.kind)))
	out = append(out, body[:len(body)-1]...)
	if len(body) > 2 {
		out = append(out, ',')
	}
	from, start := &said.data, len(out)
	if said.described {
		from = &said.metadata
	}
	for i := range from.texts[:from.n] {
		name, value := from.texts[i].name, from.texts[i].value
		if !said.described {
			if len(out) == start {
				out = append(out, `"metadata":{`...)
			}
			out = append(append(append(append(append(out, '"'), name...), `":`...), value...), ',')
			value = out[len(out)-1-len(value) : len(out)-1] // does not hold what is stored
		}
		switch string(name) {
		case "batch_id":
			it.batch = text(value)
		case "task_id":
			it.task = text(value)
		}
	}
	if len(out) > start {
		out = append(out[:len(out)-1], "},"...)
	}
	return out
}

// textCache is what a stored event says that is looked at.
type textCache struct {
	kind           []byte // event_type
	described      bool   // it has metadata of its own
	data, metadata texts
}

// texts are members of an object that are repeated in metadata.
type texts struct {
	texts [5]struct{ name, value []byte }
	n     int
}

// note takes in a member of the event, or of its member parent, as it is written.
func (s *textCache) note(parent, name, value []byte) {
	switch string(parent) {
	case "":
		switch string(name) {
		case "event_type":
			s.kind = value
		case "metadata":
			s.described = true
		}
	case "data":
		s.data.add(name, value)
	case "metadata":
		s.metadata.add(name, value)
	}
}

func (t *texts) add(name, value []byte) {
	if value[0] == '"' && t.n < len(t.texts) && repeated(string(name)) {
		t.texts[t.n].name, t.texts[t.n].value = name, value
		t.n++
	}
}

// text returns what a JSON text says, nothing for another value. It is a part of value if that is possible.
func text(value []byte) []byte {
	if len(value) == 0 {
		return nil
	}
	if value[0] == '"' && bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1]
	}
	s, _ := canonical.Text(value)
	return []byte(s)
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
	return f.tasks[string(it.task)] || f.batches[string(it.batch)]
}
