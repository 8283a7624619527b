// Package store is the storage port: documents, commits and streams, and nothing else.
//
// A Document is a canonical JSON body with a key, a revision and named index keys. A Commit is one
// atomic batch of conditional document writes, appends to streams and trims of streams: all or
// nothing, durable when it returns. A Stream is a named, gapless sequence of entries, of which the
// oldest may have been trimmed.
//
// The package owns the port, the judge that every driver shares, Update (optimistic transactions)
// and Table. It owns no I/O: drivers live in memstore, pebblestore and surrealstore and are held to
// one contract by storetest. The one rule a caller must know: an error of kind Unavailable means
// the outcome is unknown; reload and look, never assume.
package store

import (
	"context"
	"math"
	"time"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/fault"
)

// Limits, refused before any I/O (decisions 9 and 36).
const (
	MaxKey          = 512            // bytes of a document's id; also of a kind's and a stream's name
	MaxBody         = 1 << 20        // bytes of a document's body
	MaxEntry        = 64 << 10       // bytes of a stream entry
	MaxWrites       = 4096           // document writes in one commit
	MaxAppends      = 8192           // stream entries in one commit
	MaxTrims        = 16             // streams trimmed in one commit
	MaxCommit       = 16 << 20       // bytes of all bodies, entries and keys of one commit
	maxIndexKeys    = 8              // index keys of one document
	MaxIndexKeySize = 256            // bytes of an index key, name and value together
	MaxPage         = 1000           // documents or entries in one answer
	Latest          = math.MaxUint64 // as Read's after: read nothing, learn the head
)

// Key names a document. Kind is a short lower-case noun declared in the Schema.
type Key struct {
	Kind string
	ID   string
}

// IndexKey is one entry of a document in a named index. A document has at most one key a name.
type IndexKey struct {
	Name  string
	Value string
}

// Doc is a document as stored. Rev is the number of the commit that last wrote it; 0 means that
// there is no such document, and then all else is empty.
type Doc struct {
	Key   Key
	Rev   uint64
	Index []IndexKey
	Body  []byte // canonical JSON; the caller owns it
}

// Exists says whether there is such a document.
func (d Doc) Exists() bool { return d.Rev != 0 }

// Expect is what a write demands of the document as it is: absent, a given revision, or anything.
type Expect struct {
	any bool
	rev uint64
}

// Any demands nothing.
func Any() Expect { return Expect{any: true} }

// Absent demands that there is no such document.
func Absent() Expect { return Expect{} }

// At demands that the document has revision rev; At(0) is Absent.
func At(rev uint64) Expect { return Expect{rev: rev} }

// met says whether a document at revision rev (0 = absent) meets the expectation.
func (e Expect) met(rev uint64) bool { return e.any || e.rev == rev }

// Wants returns the demanded revision (0 = absent) and whether there is a demand at all.
func (e Expect) Wants() (rev uint64, demanded bool) { return e.rev, !e.any }

// Action is what a write does when its expectation is met.
type Action uint8

// These are the actions of a write.
const (
	Put    Action = iota // store Body and Index
	Delete               // remove the document; nothing happens when it is absent
	Check                // only compare: the commit stands on what this document is
)

// Write is one conditional document write. A key stands at most once in a batch.
type Write struct {
	Key    Key
	Expect Expect
	Action Action
	Index  []IndexKey
	Body   []byte

	made   canonical.Body // what Body was made from; Validate does not check the text that it vouches for
	digest Sum            // of Body, when its kind is summed; see Schema.Digest
}

// NewPut returns the write that stores body under k. Validate does not check its text when body
// vouches for it (ADR 4).
func NewPut(k Key, e Expect, index []IndexKey, body canonical.Body) Write {
	return Write{Key: k, Expect: e, Index: index, Body: body.Bytes(), made: body}
}

// Append adds one entry to the end of a stream.
type Append struct {
	Stream string
	Body   []byte
}

// Trim removes the entries of a stream up to and including the sequence Through. It takes effect
// after the appends of its batch; a Through above the head removes everything. Sequences are
// never given twice: the next entry goes on from the head.
type Trim struct {
	Stream  string
	Through uint64
}

// Batch is what one commit writes. A stream stands at most once in Trims.
type Batch struct {
	Writes  []Write
	Appends []Append
	Trims   []Trim
}

// Receipt tells where a commit landed: Rev is its number (the revision of every document it put),
// Seqs the sequence of each append, in the order of the batch.
type Receipt struct {
	Rev  uint64
	Seqs []uint64
}

// Entry is one element of a stream. Sequences start at 1; those that are kept have no gaps.
type Entry struct {
	Seq  uint64
	Body []byte
}

// Entries is an answer of Read. Head is the last sequence of the stream at that moment, 0 when
// nothing was ever appended. First is the sequence of the oldest entry that is kept, Head+1 when
// none is.
type Entries struct {
	Entries []Entry
	First   uint64
	Head    uint64
}

// Cursor is a place in a list: the index value (empty in a list by id) and the id of the last row
// seen. The zero value is the beginning.
type Cursor struct {
	Value string
	ID    string
}

// Query asks for a page of documents of one kind, ordered bytewise by id or, with Index, by the
// value of that index and then by id.
type Query struct {
	Kind    string
	Index   string       // name of a declared index; empty lists by id
	Prefix  string       // only values (ids when Index is empty) with this prefix
	Exact   bool         // with Index: only the value that equals Prefix
	After   Cursor       // rows strictly behind this place, in the direction asked for
	Reverse bool         // descending
	Skip    int          // rows to leave out before the first one returned
	Limit   int          // rows at most; 0 returns no rows; above MaxPage is refused
	Total   bool         // also count; see Page.Total
	Counts  []CounterKey // further counters, of any kinds, at most MaxPage; see Page.Counts
}

// Page is an answer of List: rows, totals and counts of the one moment behind commit Rev. Next
// continues it and is meaningful when More is true. Total is set when the query asked for it: the
// number of documents of the kind (no Index, no Prefix) or with exactly that value of a counted
// index (Exact). Counts answers Query.Counts in its order. A total and a count cost one read, never
// a scan.
type Page struct {
	Docs   []Doc
	Next   Cursor
	More   bool
	Rev    uint64 // number of the last commit that the page shows; 0 in an empty store
	Total  int
	Counts []Count
}

// DB is the storage port. All methods are safe for concurrent use, copy what they are given and
// hand out copies (but for Read), and show only what is durable. Faults: Invalid for what breaks a
// limit or the schema (before any I/O), Conflict for an expectation that is not met (nothing is
// written), Unavailable for an engine that is away, closed or whose outcome is unknown.
type DB interface {
	// Get returns the document, or a Doc with revision 0 when there is none.
	Get(ctx context.Context, key Key) (Doc, error)
	// List returns a page of documents.
	List(ctx context.Context, q Query) (Page, error)
	// Commit applies the batch atomically and durably.
	Commit(ctx context.Context, b Batch) (Receipt, error)
	// Read returns up to limit entries of a stream with sequences above after, ascending, and
	// where the stream begins and ends. Trimmed entries are left out: whoever must not miss one
	// compares First with after. An unknown stream is an empty one. Entries are no copies: others
	// read the same, so nobody changes them.
	Read(ctx context.Context, stream string, after uint64, limit int) (Entries, error)
	// Close ends the store; later calls are Unavailable.
	Close() error
}

// Kind declares one kind of document: its name, the indexes its documents may have keys in,
// those of the indexes whose values are counted, and whether the digests of its bodies are summed.
type Kind struct {
	Name    string
	Indexes []string
	Counted []string
	Summed  bool
}

// Schema is what a service stores; it is known when the store is opened (decision 36). Service is
// the prefix of every table name in a shared engine ("orchestrator", "control_center").
type Schema struct {
	Service string
	Kinds   []Kind
}

// Kind returns the declaration of a kind and whether there is one.
func (s Schema) Kind(name string) (Kind, bool) {
	for _, k := range s.Kinds {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// ErrConflict is the fault of an expectation that was not met.
var ErrConflict = fault.New(fault.Conflict, "store.conflict", "somebody else changed this at the same moment; read it again and retry")

// ErrFull is the fault of a store whose disk has no room (decision 42): nothing is written, reads
// go on, and changes are taken again as soon as there is room.
var ErrFull = fault.New(fault.Unavailable, "store.full",
	"the disk of this service is full: what is stored can be read, and nothing can be changed until there is room again; an operator "+
		"has to free space").After(5 * time.Second)

// ErrUnavailable is the fault of an engine that is away or whose outcome is unknown.
var ErrUnavailable = fault.New(fault.Unavailable, "store.unavailable", "the store cannot be reached right now; retry shortly")
