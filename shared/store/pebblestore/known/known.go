// Package known answers what the committer of the embedded store has to know of a document before
// it decides a group. It asks the engine only when its memory cannot tell.
//
// It owns two tricks, each in one file with its figure and a constant that removes it: the revision
// cache (revisions.go) and the Bloom filter of a kind's ids (filter.go). The build tag plainstore
// removes both, and every test passes without them. It knows neither keys nor encodings: the Engine
// that it is given does.
//
// The one rule a caller must know: after each group that is durable, Keep is called with what the
// group changed, before readers see it.
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
	// IDs calls fn with the ids of a kind and the bytes that their rows take, until fn answers
	// false.
	IDs(kind string, fn func(id string, size int) bool) error
	// Count returns how many documents a kind has.
	Count(kind string) (int64, error)
}

// Lookup answers for one store. Its methods are of the committer's goroutine, but for Absent and
// Missed, which readers call too.
type Lookup struct {
	engine    Engine
	revisions revisions
	filters   []kindFilter // by place of the kind in the schema
	kinds     []store.Kind
}

// New returns a Lookup that remembers nothing yet.
func New(engine Engine, schema store.Schema) *Lookup {
	return &Lookup{
		engine:    engine,
		revisions: newRevisions(revisionsHalf),
		filters:   make([]kindFilter, len(schema.Kinds)),
		kinds:     schema.Kinds,
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

// Filtered says whether a Bloom filter knows the ids of a kind.
func (l *Lookup) Filtered(kind string) bool { return l.filters[l.place(kind)].ids.Load() != nil }

// place returns the place of a kind in the schema; the kind was checked.
func (l *Lookup) place(kind string) int {
	for i := range l.kinds {
		if l.kinds[i].Name == kind {
			return i
		}
	}
	return 0
}
