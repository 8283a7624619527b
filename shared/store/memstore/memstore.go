// Package memstore is the store in memory: the reference that the other drivers are compared with,
// the store of unit tests and of `--store memory:`.
//
// It owns no durability: what it holds ends with the process. It is written to be obviously right,
// with sorted slices and one lock; a caller must know only that it is not meant for large data.
package memstore

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/provisioning-platform/platform/shared/store"
)

// Store is a store.DB in memory.
type Store struct {
	schema store.Schema

	mu      sync.RWMutex // guards all below
	closed  bool
	number  uint64
	kinds   map[string]*kind
	streams map[string]*stream
}

// stream holds the entries of one stream behind low, the last trimmed sequence.
type stream struct {
	low     uint64
	entries [][]byte
}

func (t *stream) head() uint64 { return t.low + uint64(len(t.entries)) }

// kind holds the documents of one kind and its lists in bytewise order: rows[""] by id, the others
// by index (store.IndexRow).
type kind struct {
	docs map[string]store.Doc
	rows map[string][]string
}

// New returns an empty store. The schema is a literal of the program; a wrong one panics.
func New(schema store.Schema) *Store {
	if err := schema.Check(); err != nil {
		panic(err)
	}
	s := &Store{schema: schema, kinds: map[string]*kind{}, streams: map[string]*stream{}}
	for _, k := range schema.Kinds {
		s.kinds[k.Name] = &kind{docs: map[string]store.Doc{}, rows: map[string][]string{}}
	}
	return s
}

// Get implements store.DB.
func (s *Store) Get(ctx context.Context, key store.Key) (store.Doc, error) {
	if err := store.ValidateKey(s.schema, key); err != nil {
		return store.Doc{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return store.Doc{}, err
	}
	d, ok := s.kinds[key.Kind].docs[key.ID]
	if !ok {
		return store.Doc{Key: key}, nil
	}
	return copied(d), nil
}

// List implements store.DB.
func (s *Store) List(ctx context.Context, q store.Query) (store.Page, error) {
	if err := store.ValidateQuery(s.schema, q); err != nil {
		return store.Page{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return store.Page{}, err
	}
	k := s.kinds[q.Kind]
	page := store.Page{Rev: s.number}
	for _, c := range q.Counts {
		page.Counts = append(page.Counts, s.count(c))
	}
	if q.Total {
		whole := q
		whole.After = store.Cursor{}
		page.Total = len(k.within(whole))
	}
	rows := k.within(q)
	for i := q.Skip; i < len(rows); i++ {
		if page.More = len(page.Docs) == q.Limit; page.More {
			break
		}
		at := i
		if q.Reverse {
			at = len(rows) - 1 - i
		}
		page.Next = q.Cursor(rows[at])
		page.Docs = append(page.Docs, copied(k.docs[page.Next.ID]))
	}
	page.More = page.More && q.Limit > 0
	return page, nil
}

// count counts and adds up what there is, without a counter: other drivers are compared with it.
func (s *Store) count(c store.CounterKey) (n store.Count) {
	k := s.kinds[c.Kind]
	n.N = len(k.within(store.Query{Index: c.Index, Prefix: c.Value, Exact: c.Index != ""}))
	if kind, _ := s.schema.Kind(c.Kind); kind.Summed && c.Index == "" {
		for _, d := range k.docs {
			n.Sum = n.Sum.Plus(store.Digest(d.Body))
		}
	}
	return n
}

// within returns the rows between the bounds of the query, ascending.
func (k *kind) within(q store.Query) []string {
	rows := k.rows[q.Index]
	from, to := q.Bounds()
	if to != "" {
		end, _ := slices.BinarySearch(rows, to)
		rows = rows[:end]
	}
	start, _ := slices.BinarySearch(rows, from)
	return rows[start:]
}

// Commit implements store.DB.
func (s *Store) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	if err := store.Validate(s.schema, b); err != nil {
		return store.Receipt{}, err
	}
	b.Writes = slices.Clone(b.Writes)
	s.schema.Digest(b.Writes)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return store.Receipt{}, err
	}
	heads, lows := map[string]uint64{}, map[string]uint64{}
	for name, t := range s.streams {
		heads[name], lows[name] = t.head(), t.low
	}
	j, err := store.Judge(s.schema, store.Baseline{Number: s.number, Heads: heads, Lows: lows, Lookup: s.known}, []store.Batch{b})
	if err != nil {
		return store.Receipt{}, err
	}
	s.number = j.Number
	for _, f := range j.Finals {
		s.kinds[f.Key.Kind].replace(f)
	}
	for _, p := range j.Appends {
		t := s.streams[p.Stream]
		if t == nil {
			t = new(stream)
			s.streams[p.Stream] = t
		}
		t.entries = append(t.entries, bytes.Clone(p.Body))
	}
	for name, low := range j.Lows {
		t := s.streams[name]
		t.entries, t.low = slices.Clone(t.entries[low-t.low:]), low
	}
	return j.Results[0].Receipt, j.Results[0].Err
}

func (s *Store) known(key store.Key) (store.Known, error) {
	d := s.kinds[key.Kind].docs[key.ID]
	known := store.Known{Rev: d.Rev, Index: d.Index}
	if kind, _ := s.schema.Kind(key.Kind); kind.Summed && d.Exists() {
		known.Digest = store.Digest(d.Body)
	}
	return known, nil
}

// replace brings a document and its rows into their final state.
func (k *kind) replace(f store.Final) {
	id := f.Key.ID
	if f.Was.Rev != 0 {
		delete(k.docs, id)
		k.remove("", id)
		for _, x := range f.Was.Index {
			k.remove(x.Name, store.IndexRow(x.Value, id))
		}
	}
	if f.Now.Rev != 0 {
		k.docs[id] = copied(store.Doc{Key: f.Key, Rev: f.Now.Rev, Index: f.Now.Index, Body: f.Body})
		k.insert("", id)
		for _, x := range f.Now.Index {
			k.insert(x.Name, store.IndexRow(x.Value, id))
		}
	}
}

func (k *kind) insert(list, row string) {
	at, _ := slices.BinarySearch(k.rows[list], row)
	k.rows[list] = slices.Insert(k.rows[list], at, row)
}

func (k *kind) remove(list, row string) {
	at, _ := slices.BinarySearch(k.rows[list], row)
	k.rows[list] = slices.Delete(k.rows[list], at, at+1)
}

// Read implements store.DB.
func (s *Store) Read(ctx context.Context, name string, after uint64, limit int) (store.Entries, error) {
	if err := store.ValidateRead(name, limit); err != nil {
		return store.Entries{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return store.Entries{}, err
	}
	t := s.streams[name]
	if t == nil {
		return store.Entries{First: 1}, nil
	}
	out := store.Entries{First: t.low + 1, Head: t.head()}
	for i := max(t.low, min(after, out.Head)); i < out.Head && len(out.Entries) < limit; i++ {
		out.Entries = append(out.Entries, store.Entry{Seq: i + 1, Body: bytes.Clone(t.entries[i-t.low])})
	}
	return out, nil
}

// Close implements store.DB.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return store.ErrUnavailable
	}
	if err := ctx.Err(); err != nil {
		return store.ErrUnavailable.Because(err)
	}
	return nil
}

func copied(d store.Doc) store.Doc {
	d.Index = slices.Clone(d.Index)
	d.Body = bytes.Clone(d.Body)
	return d
}
