package watch

import (
	"strconv"
	"sync"

	"github.com/provisioning-platform/platform/shared/store"
)

// Labels are what a client filters events by.
type Labels struct {
	Category string // of Config.Categories; nobody sees an event of another one
	Type     string // of Config.Types
	TaskID   string // empty for none
	BatchID  string // empty for none
	Infra    string // empty for none
}

// mask is a set of categories: bit i is Config.Categories[i].
type mask uint8

// everything returns the set of all categories.
func (h *Handler) everything() mask { return mask(1<<len(h.Categories) - 1) }

// bit returns the set of one category, the empty set for an unknown one.
func (h *Handler) bit(category string) mask {
	for i, name := range h.Categories {
		if name == category {
			return 1 << i
		}
	}
	return 0
}

// names returns the names of the categories in m, in the order of Config.Categories.
func (h *Handler) names(m mask) []string {
	out := []string{}
	for i, name := range h.Categories {
		if m&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// page is what one read of the store found. The first goroutine that needs one of its events
// renders all of them. So an event that nobody watches costs its reading only, and the frames of
// neighbours lie one behind the other in memory.
type page struct {
	h     *Handler
	once  sync.Once // guards what items hold
	items []item
}

// item is one event of the stream. All connections share it.
type item struct {
	page     *page
	seq      uint64
	frame    []byte // before render the event as stored, afterwards its text frame (RFC 6455)
	header   uint8  // bytes of the frame in front of its payload
	category mask
	labels   Labels
}

// prepare appends the events of a page to into. Package feed calls it.
func (h *Handler) prepare(into []*item, entries []store.Entry) []*item {
	p := &page{h: h, items: make([]item, len(entries))}
	for i, e := range entries {
		p.items[i] = item{page: p, seq: e.Seq, frame: e.Body}
		into = append(into, &p.items[i])
	}
	return into
}

// ready returns the item once its page is rendered.
func (it *item) ready() *item {
	it.page.once.Do(it.page.render)
	return it
}

// body returns the JSON object in the frame.
func (it *item) body() []byte { return it.frame[it.header:] }

// maxTail bounds the bytes of the header and of what a frame has behind the stored event, without
// the epoch: `,"epoch":,"sequence":}` and 20 digits.
const maxTail = maxHeader + 22 + 20

// render fills in what the filters look at and the frames of a page, in one piece of memory.
func (p *page) render() {
	size := 0
	for i := range p.items {
		size += len(p.items[i].frame) + len(p.h.quotedEpoch) + maxTail
	}
	out := make([]byte, 0, size)
	for i := range p.items {
		out = p.items[i].render(out)
	}
}

// render appends the frame to out. Its payload is the stored object up to its last brace, then the
// epoch and the sequence (decision 67).
func (it *item) render(out []byte) []byte {
	h, stored := it.page.h, it.frame
	it.labels = h.Labels(stored)
	it.category = h.bit(it.labels.Category)
	var buf [128]byte
	tail := append(append(buf[:0], `,"epoch":`...), h.quotedEpoch...)
	tail = append(strconv.AppendUint(append(tail, `,"sequence":`...), it.seq, 10), '}')
	open := stored[:max(0, len(stored)-1)]
	if len(open) < 2 || open[0] != '{' { // no member to go on behind; its sequence exists all the same
		open, tail = []byte{'{'}, tail[1:]
	}
	start := len(out)
	out = appendHeader(out, opText, len(open)+len(tail))
	it.header = uint8(len(out) - start)
	out = append(append(out, open...), tail...)
	it.frame = out[start:]
	return out
}
