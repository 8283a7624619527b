// Package known answers what the committer of the embedded store has to know before it decides a
// group: the revision of a document, the value of a counter, the sum of a kind. It asks the engine
// only when its memory cannot tell.
//
// It owns three tricks, each in one file with its figure and a constant that removes it: the
// revision cache (revisions.go), the Bloom filter of a kind's ids (filter.go), and the memory of
// counters (counters.go). The build tag plainstore removes all three, and every test passes without
// them. It knows neither keys nor encodings: the Engine that it is given does.
//
// The one rule a caller must know: after each group that is durable, Keep is called with what the
// group changed, before readers see it; after each that failed, Forget.
package known

import (
	"github.com/provisioning-platform/platform/shared/store"
)

// Engine is what Lookup asks when its memory cannot tell.
type Engine interface {
	// Document returns what is known of a document; its Rev is 0 when there is none.
	Document(k store.Key) (store.Known, error)
	// LastID returns the largest id of a kind; empty when there is none.
	LastID(kind string) (string, error)
	// Names calls fn with the ids of a kind, or with the names of all counters when kind is empty,
	// and with the bytes that their rows take, until fn answers false.
	Names(kind string, fn func(name string, size int) bool) error
	// Counter returns the value of a counter, 0 when it has none.
	Counter(c store.CounterKey) (int64, error)
	// Sum returns the sum of a kind.
	Sum(kind string) (store.Sum, error)
}

// Lookup answers for one store. Its methods are of the committer's goroutine, but for Absent and
// Missed, which readers call too.
type Lookup struct {
	engine    Engine
	revisions revisions
	filters   []kindFilter // by place of the kind in the schema
	kinds     []store.Kind
	counters  counters
	sums      map[string]store.Sum // as they were read or written last
}

// New returns a Lookup that remembers nothing yet.
func New(engine Engine, schema store.Schema) *Lookup {
	return &Lookup{
		engine:    engine,
		revisions: newRevisions(revisionsHalf),
		filters:   make([]kindFilter, len(schema.Kinds)),
		kinds:     schema.Kinds,
		counters:  counters{values: map[store.CounterKey]int64{}},
		sums:      map[string]store.Sum{},
	}
}

// Document returns what is known of a document: it is the Lookup of a store.Baseline.
func (l *Lookup) Document(k store.Key) (store.Known, error) {
	known, sure, err := l.revisions.get(k, l.engine.LastID)
	if sure || err != nil {
		return known, err
	}
	if l.Absent(k) {
		return store.Known{}, nil
	}
	l.Missed(k.Kind)
	return l.engine.Document(k)
}

// Keep takes in the documents that a group has written durably.
func (l *Lookup) Keep(finals []store.Final) {
	l.revisions.keep(finals)
	for i := range finals {
		if finals[i].Now.Rev != 0 {
			l.filters[l.place(finals[i].Key.Kind)].add(finals[i].Key.ID)
		}
	}
}

// Forget drops counters and sums that belong to a group which was not written.
func (l *Lookup) Forget() {
	clear(l.counters.values)
	clear(l.sums)
}

// Filtered says whether a Bloom filter knows the ids of a kind, or the names of the counters when
// kind is empty.
func (l *Lookup) Filtered(kind string) bool {
	if kind == "" {
		return l.counters.names != nil
	}
	return l.filters[l.place(kind)].ids.Load() != nil
}

// AddCount returns the value of a counter after n is added.
func (l *Lookup) AddCount(c store.CounterKey, n int64) (int64, error) {
	return l.counters.add(l.engine, c, n)
}

// AddSum returns the sum of a kind after more is added.
func (l *Lookup) AddSum(kind string, more store.Sum) (store.Sum, error) {
	sum, ok := l.sums[kind]
	if !ok {
		var err error
		if sum, err = l.engine.Sum(kind); err != nil {
			return store.Sum{}, err
		}
	}
	sum = sum.Plus(more)
	l.sums[kind] = sum
	return sum, nil
}

// place returns the place of a kind in the schema; the kind was checked.
func (l *Lookup) place(kind string) int {
	for i := range l.kinds {
		if l.kinds[i].Name == kind {
			return i
		}
	}
	return 0
}
