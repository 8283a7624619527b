package store

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/provisioning-platform/platform/shared/canonical"
)

// Table maps a Go type to one kind of document. A Table is a literal and holds neither state nor a
// store.
//
//	var users = store.Table[User]{Kind: "user", ID: func(u User) string { return u.ID },
//		Index: func(u User) []store.IndexKey { return []store.IndexKey{{Name: "role", Value: u.Role}} }}
type Table[T any] struct {
	Kind    string
	ID      func(T) string
	Index   func(T) []IndexKey                // nil: no index keys
	Upgrade func(body []byte) ([]byte, error) // older body in, current body out; nil: as stored
}

// Row is a decoded document with its revision. Revision 0 means that there is no such document.
type Row[T any] struct {
	Value T
	Rev   uint64
}

// Key returns the key of the document with that id.
func (t Table[T]) Key(id string) Key { return Key{Kind: t.Kind, ID: id} }

// Decode returns the value of a stored document.
func (t Table[T]) Decode(d Doc) (T, error) {
	var v T
	if !d.Exists() {
		return v, nil
	}
	body := d.Body
	if t.Upgrade != nil {
		var err error
		if body, err = t.Upgrade(body); err != nil {
			return v, fmt.Errorf("upgrade %s %s: %w", t.Kind, d.Key.ID, err)
		}
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return v, fmt.Errorf("decode %s %s: %w", t.Kind, d.Key.ID, err)
	}
	return v, nil
}

// Write returns the write that stores v under its id with the given expectation.
func (t Table[T]) Write(v T, e Expect) (Write, error) {
	body, err := canonical.MakeBody(v)
	if err != nil {
		return Write{}, fmt.Errorf("encode %s: %w", t.Kind, err)
	}
	return NewPut(t.Key(t.ID(v)), e, t.index(v), body), nil
}

// Get returns the value with that id from the store.
func (t Table[T]) Get(ctx context.Context, db DB, id string) (Row[T], error) {
	d, err := db.Get(ctx, t.Key(id))
	if err != nil {
		return Row[T]{}, err
	}
	v, err := t.Decode(d)
	return Row[T]{Value: v, Rev: d.Rev}, err
}

// Load returns the value with that id inside a transaction.
func (t Table[T]) Load(tx *Tx, id string) (Row[T], error) {
	d, err := tx.Get(t.Key(id))
	if err != nil {
		return Row[T]{}, err
	}
	v, err := t.Decode(d)
	return Row[T]{Value: v, Rev: d.Rev}, err
}

// Save stores v when the transaction commits.
func (t Table[T]) Save(tx *Tx, v T) error { return t.put(v, tx.write) }

// Create stores v when the transaction commits, and demands that no document has its id.
func (t Table[T]) Create(tx *Tx, v T) error { return t.put(v, tx.create) }

func (t Table[T]) put(v T, put func(Write)) error {
	w, err := t.Write(v, Any())
	if err == nil {
		put(w)
	}
	return err
}

// Remove deletes the value with that id when the transaction commits.
func (t Table[T]) Remove(tx *Tx, id string) { tx.Delete(t.Key(id)) }

// List returns a page of values in the order of the query. It sets q.Kind.
func (t Table[T]) List(ctx context.Context, db DB, q Query) ([]Row[T], Page, error) {
	q.Kind = t.Kind
	page, err := db.List(ctx, q)
	if err != nil {
		return nil, Page{}, err
	}
	rows := make([]Row[T], 0, len(page.Docs))
	for _, d := range page.Docs {
		v, err := t.Decode(d)
		if err != nil {
			return nil, Page{}, err
		}
		rows = append(rows, Row[T]{Value: v, Rev: d.Rev})
	}
	return rows, page, nil
}

// All yields the values that q finds in its order, and reads them in pages of q.Limit, or of
// MaxPage when that is 0. Each page shows one moment, so what is written meanwhile may be among the
// values or not. The last pair has an error when a page cannot be read, a document cannot be
// decoded or ctx has ended.
func (t Table[T]) All(ctx context.Context, db DB, q Query) iter.Seq2[Row[T], error] {
	q.Kind = t.Kind
	return func(yield func(Row[T], error) bool) {
		for d, err := range All(ctx, db, q) {
			row := Row[T]{Rev: d.Rev}
			if err == nil {
				row.Value, err = t.Decode(d)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// All yields the documents that q finds, as Table.All does.
func All(ctx context.Context, db DB, q Query) iter.Seq2[Doc, error] {
	return func(yield func(Doc, error) bool) {
		q := q
		if q.Limit == 0 {
			q.Limit = MaxPage
		}
		for more := true; more; {
			if err := ctx.Err(); err != nil {
				yield(Doc{}, ErrUnavailable.Because(err))
				return
			}
			page, err := db.List(ctx, q)
			if err != nil {
				yield(Doc{}, err)
				return
			}
			for _, d := range page.Docs {
				if !yield(d, nil) {
					return
				}
			}
			q.After, q.Skip, more = page.Next, 0, page.More
		}
	}
}

// Collect returns all values of seq, or its error.
func Collect[T any](seq iter.Seq2[T, error]) (all []T, err error) {
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

func (t Table[T]) index(v T) []IndexKey {
	if t.Index == nil {
		return nil
	}
	return t.Index(v)
}
