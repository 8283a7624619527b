package surrealstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	"github.com/surrealdb/surrealdb.go/pkg/models"

	"github.com/provisioning-platform/platform/shared/store"
)

// lastRow stands behind every row of a list: no id and no index value is so long.
var lastRow = strings.Repeat(string(utf8.MaxRune), store.MaxKey/4+1)

// ask runs a query that reads, once more when the connection broke. The engine shows a transaction only
// when it is synced, so what is read is durable.
func (s *Store) ask(ctx context.Context, op string, q text, vars map[string]any) ([]cbor.RawMessage, error) {
	results, err := s.link.query(ctx, q, vars)
	var lost *lostError
	if errors.As(err, &lost) && ctx.Err() == nil {
		results, err = s.link.query(ctx, q, vars)
	}
	if err != nil {
		return nil, s.away(op, err)
	}
	return results, nil
}

// rows reads documents of one kind.
func (s *Store) rows(ctx context.Context, kind string, q text, vars map[string]any) ([]*row, error) {
	results, err := s.ask(ctx, "read "+kind, q, vars)
	if err != nil {
		return nil, err
	}
	var rows []*row
	if err := decode(results[0], &rows); err != nil {
		return nil, s.away("decode "+kind, err)
	}
	return rows, nil
}

// Get implements store.DB.
func (s *Store) Get(ctx context.Context, key store.Key) (store.Doc, error) {
	if err := store.ValidateKey(s.schema, key); err != nil {
		return store.Doc{}, err
	}
	rows, err := s.rows(ctx, key.Kind, textGet, map[string]any{"ids": []models.RecordID{s.record(key)}})
	if err != nil || len(rows) == 0 || rows[0] == nil {
		return store.Doc{Key: key}, err
	}
	kind, _ := s.schema.Kind(key.Kind)
	return rows[0].doc(kind)
}

// List implements store.DB.
func (s *Store) List(ctx context.Context, q store.Query) (store.Page, error) {
	if err := store.ValidateQuery(s.schema, q); err != nil {
		return store.Page{}, err
	}
	var page store.Page
	var err error
	if q.Total {
		if page.Total, err = s.total(ctx, q); err != nil {
			return store.Page{}, err
		}
	}
	from, to := q.Bounds()
	if q.Limit == 0 || to != "" && from >= to {
		return page, nil
	}
	if q.Reverse {
		if from = mirror(from); to != "" {
			to = mirror(to)
		}
		from, to = to, from
	} else if to == "" {
		to = lastRow
	}
	rows, err := s.rows(ctx, q.Kind, s.texts.list[listing{q.Kind, q.Index, q.Reverse}], map[string]any{
		"from": from, "end": to, "limit": q.Limit + 1, "skip": q.Skip,
	})
	if err != nil {
		return store.Page{}, err
	}
	if !ordered(q, rows) {
		return store.Page{}, s.away("list "+q.Kind, fmt.Errorf("the engine answered a page out of order"))
	}
	if page.More = len(rows) > q.Limit; page.More {
		rows = rows[:q.Limit]
	}
	kind, _ := s.schema.Kind(q.Kind)
	for _, r := range rows {
		doc, err := r.doc(kind)
		if err != nil {
			return store.Page{}, err
		}
		page.Docs = append(page.Docs, doc)
		page.Next = q.Cursor(r.place(q))
	}
	return page, nil
}

// place is where the row stands in the list of q.
func (r row) place(q store.Query) string {
	if q.Index == "" {
		return r.K
	}
	return r.Ix[q.Index]
}

// ordered says whether a page came in the order of the query: the engine was seen to lose it.
func ordered(q store.Query, rows []*row) bool {
	return slices.IsSortedFunc(rows, func(a, b *row) int {
		if q.Reverse {
			a, b = b, a
		}
		return strings.Compare(a.place(q), b.place(q))
	})
}

// total reads the counter of the query.
func (s *Store) total(ctx context.Context, q store.Query) (int, error) {
	c := store.Counter{Kind: q.Kind}
	if q.Exact {
		c.Index, c.Value = q.Index, q.Prefix
	}
	results, err := s.ask(ctx, "count "+q.Kind, textCount, map[string]any{"ids": []models.RecordID{s.counter(c)}})
	if err != nil {
		return 0, err
	}
	var counts []*struct {
		N int `json:"n"`
	}
	if err := decode(results[0], &counts); err != nil {
		return 0, s.away("count "+q.Kind, err)
	}
	if len(counts) == 0 || counts[0] == nil {
		return 0, nil
	}
	return counts[0].N, nil
}

// Read implements store.DB.
func (s *Store) Read(ctx context.Context, stream string, after uint64, limit int) (store.Entries, error) {
	if err := store.ValidateRead(stream, limit); err != nil {
		return store.Entries{}, err
	}
	const most = 1 << 62 // sequences are int64 in the engine
	results, err := s.ask(ctx, "read stream", s.texts.read, map[string]any{"s": stream, "a": min(after, most), "limit": limit})
	if err != nil {
		return store.Entries{}, err
	}
	var ends struct {
		Low  uint64 `json:"l"`
		Head uint64 `json:"h"`
	}
	if err := decode(results[3], &ends); err != nil {
		return store.Entries{}, s.away("read stream", err)
	}
	var rows []entryRow
	if err := decode(results[4], &rows); err != nil {
		return store.Entries{}, s.away("read stream", err)
	}
	from := max(min(after, most), ends.Low)
	out := store.Entries{First: ends.Low + 1, Head: ends.Head}
	for i, r := range rows {
		seq, err := r.seq()
		if err != nil || seq != from+uint64(i)+1 {
			return store.Entries{}, s.away("read stream", fmt.Errorf("entry %d is missing in the database", from+uint64(i)+1))
		}
		out.Entries = append(out.Entries, store.Entry{Seq: seq, Body: []byte(r.B)})
		out.Head = max(out.Head, seq) // appended between the statements
	}
	return out, nil
}

// entryRow is a stream entry as it lies in its table.
type entryRow struct {
	ID models.RecordID `json:"id"`
	B  string          `json:"b"`
}

// seq returns the sequence, the second part of the id.
func (r entryRow) seq() (uint64, error) {
	if id, ok := r.ID.ID.([]any); ok && len(id) == 2 {
		if seq, ok := id[1].(uint64); ok {
			return seq, nil
		}
	}
	return 0, fmt.Errorf("an entry with the id %v", r.ID)
}

// record returns the record of a document.
func (s *Store) record(key store.Key) models.RecordID {
	return models.NewRecordID(s.texts.table[key.Kind], key.ID)
}

// counter returns the record of a counter.
func (s *Store) counter(c store.Counter) models.RecordID {
	return models.NewRecordID(s.texts.countTable, []any{c.Kind, c.Index, c.Value})
}
