// The memory of counters. Its figure stands in shared/adr/0003-pebble-settings.md.

package known

import "github.com/provisioning-platform/platform/shared/store"

// maxCounters is the number of counters that are remembered.
const maxCounters = 4096

// counters remembers counters as the committer wrote or read them last, and which names exist at
// all: a value of an index that is seen for the first time has no counter yet.
type counters struct {
	values map[store.CounterKey]int64
	asked  int    // questions to the engine
	names  *bloom // nil before bloomAsked questions, or when there are too many names
}

// Name returns the text that names a counter in an Engine.
func Name(c store.CounterKey) string { return c.Kind + "\x00" + c.Index + "\x00" + c.Value }

// add returns the value of a counter after n is added.
func (m *counters) add(engine Engine, c store.CounterKey, n int64) (int64, error) {
	if !cacheCounters {
		old, err := engine.Counter(c)
		return old + n, err
	}
	value, ok := m.values[c]
	if !ok {
		var err error
		if value, err = m.read(engine, c); err != nil {
			return 0, err
		}
		if len(m.values) >= maxCounters {
			clear(m.values)
		}
	}
	value += n
	m.values[c] = value
	return value, nil
}

// read returns the stored value of a counter.
func (m *counters) read(engine Engine, c store.CounterKey) (int64, error) {
	if m.names == nil {
		if m.asked++; m.asked == bloomAsked {
			m.names = bloomOf(func(fn func(string, int) bool) error { return engine.Names("", fn) })
			if m.names != nil {
				for c := range m.values { // some are of this very group, which the engine does not have yet
					m.names.add(Name(c))
				}
			}
		}
	}
	if m.names != nil && !m.names.has(Name(c)) {
		m.names.add(Name(c)) // it is about to be written
		return 0, nil
	}
	return engine.Counter(c)
}
