package watch

import (
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
)

// filter is what a client asked to see. It is replaced, never changed. A nil set is of anything.
type filter struct {
	categories mask
	types      map[string]bool
	infras     map[string]bool
	tasks      map[string]bool
	batches    map[string]bool
}

// passes says whether the client asked for the event: it is of a category, of a type and about an
// infra that was named. When tasks and batches were named, an event of either passes.
func (f *filter) passes(it *item) bool {
	l := &it.labels
	switch {
	case f.categories&it.category == 0, f.types != nil && !f.types[l.Type], f.infras != nil && !f.infras[l.Infra]:
		return false
	case f.tasks == nil && f.batches == nil:
		return true
	}
	return f.tasks[l.TaskID] || f.batches[l.BatchID]
}

// filtering says whether a message names something to filter by.
func (m *message) filtering() bool {
	return m.Events != nil || m.EventTypes != nil || m.Infra != nil || m.TaskIDs != nil || m.BatchIDs != nil
}

// filterOf returns the filter that a message asks for: everything where it names nothing. A fault
// is Malformed.
func (h *Handler) filterOf(m message) (*filter, error) {
	f := &filter{categories: h.everything(), types: setOf(m.EventTypes), infras: setOf(m.Infra), tasks: idSet(m.TaskIDs),
		batches: idSet(m.BatchIDs)}
	if len(m.Events) > 0 {
		f.categories = 0
	}
	for _, name := range m.Events {
		bit := h.bit(strings.TrimSpace(name))
		if bit == 0 {
			return nil, fault.New(fault.Malformed, "ws.unknown_category", "unknown event category %.40q; known are %s", name,
				strings.Join(h.Categories, ", "))
		}
		f.categories |= bit
	}
	for name := range f.types {
		if !slices.Contains(h.Types, name) {
			return nil, fault.New(fault.Malformed, "ws.unknown_event_type", "unknown event type %.40q; known are %s", name,
				strings.Join(h.Types, ", "))
		}
	}
	if len(m.TaskIDs)+len(m.BatchIDs)+len(m.Infra) > maxIDs {
		return nil, fault.New(fault.Malformed, "ws.too_many_ids", "there may be %d ids and infras in one subscription", maxIDs)
	}
	return f, nil
}

// setOf returns the set of words, nil when there are none.
func setOf(words []string) map[string]bool {
	if len(words) == 0 {
		return nil
	}
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[strings.TrimSpace(w)] = true
	}
	return m
}

// idSet returns the set of ids in their canonical spelling: clients may write them in capitals.
func idSet(words []string) map[string]bool {
	canonical := make([]string, 0, len(words))
	for _, w := range words {
		canonical = append(canonical, id.Canonical(strings.TrimSpace(w)))
	}
	return setOf(canonical)
}
