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

// ask runs a query that reads, once more when the connection broke. The engine shows a transaction
// only when it is synced, so what is read is durable.
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

// Get implements store.DB.
func (s *Store) Get(ctx context.Context, key store.Key) (store.Doc, error) {
	if err := store.ValidateKey(s.schema, key); err != nil {
		return store.Doc{}, err
	}
	results, err := s.ask(ctx, "read "+key.Kind, textGet, map[string]any{"ids": []models.RecordID{s.record(key)}})
	if err != nil {
		return store.Doc{}, err
	}
	var rows []*row
	if err := decode(results[0], &rows); err != nil {
		return store.Doc{}, s.away("decode "+key.Kind, err)
	}
	if len(rows) == 0 || rows[0] == nil {
		return store.Doc{Key: key}, nil
	}
	kind, _ := s.schema.Kind(key.Kind)
	return rows[0].doc(kind)
}

// skipAtOnce is how many rows one query leaves out, at about 10 µs each: the engine works on when
// the caller of a query has left.
const skipAtOnce = 1000

// List implements store.DB.
func (s *Store) List(ctx context.Context, q store.Query) (store.Page, error) {
	if err := store.ValidateQuery(s.schema, q); err != nil {
		return store.Page{}, err
	}
	for q.Limit > 0 && q.Skip > skipAtOnce {
		step := store.Query{Kind: q.Kind, Index: q.Index, Prefix: q.Prefix, Exact: q.Exact, After: q.After, Reverse: q.Reverse,
			Skip: skipAtOnce - 1, Limit: 1}
		page, err := s.List(ctx, step)
		if err != nil {
			return store.Page{}, err
		}
		if len(page.Docs) == 0 { // the list has ended; what is left is to count
			q.Limit = 0
		}
		q.After, q.Skip = page.Next, q.Skip-skipAtOnce
	}
	from, to := q.Bounds()
	ids := s.moment(q)
	if q.Limit == 0 || to != "" && from >= to {
		results, err := s.ask(ctx, "count "+q.Kind, textMoment, map[string]any{"ids": ids})
		if err != nil {
			return store.Page{}, err
		}
		return s.counted(q, results)
	}
	if q.Reverse {
		if from = mirror(from); to != "" {
			to = mirror(to)
		}
		from, to = to, from
	} else if to == "" {
		to = lastRow
	}
	results, err := s.ask(ctx, "list "+q.Kind, s.texts.list[listing{q.Kind, q.Index, q.Reverse}], map[string]any{
		"from": from, "end": to, "limit": q.Limit + 1, "skip": q.Skip, "ids": ids,
	})
	if err != nil {
		return store.Page{}, err
	}
	page, err := s.counted(q, results)
	if err != nil {
		return store.Page{}, err
	}
	var rows []*row
	if err := decodeOf(results, arrayType, &rows); err != nil {
		return store.Page{}, s.away("decode "+q.Kind, err)
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

// moment returns the records that tell what a page says of its moment: the head, the counter of its
// total if that was asked for, and the further counters.
func (s *Store) moment(q store.Query) []models.RecordID {
	ids := []models.RecordID{models.NewRecordID(s.texts.headTable, "main")}
	if q.Total {
		ids = append(ids, s.counter(store.CounterKey{Kind: q.Kind, Index: q.Index, Value: q.Prefix}))
	}
	for _, c := range q.Counts {
		ids = append(ids, s.counter(c))
	}
	return ids
}

// counted returns a page without rows from what the records of moment hold.
func (s *Store) counted(q store.Query, results []cbor.RawMessage) (page store.Page, err error) {
	var reply struct {
		M []*struct {
			N uint64            `json:"n"`
			H map[string]string `json:"h"`
		} `json:"m"`
	}
	if err := decodeOf(results, mapType, &reply); err != nil {
		return page, s.away("count "+q.Kind, err)
	}
	n := func(i int) int {
		if i < len(reply.M) && reply.M[i] != nil {
			return int(reply.M[i].N)
		}
		return 0
	}
	page.Rev = uint64(n(0))
	at := 1
	if q.Total {
		page.Total, at = n(1), 2
	}
	for i, c := range q.Counts {
		count := store.Count{N: n(at + i)}
		if kind, _ := s.schema.Kind(c.Kind); kind.Summed && c.Index == "" && page.Rev != 0 {
			if count.Sum, err = store.ParseSum(reply.M[0].H[c.Kind]); err != nil {
				return page, s.away("count "+c.Kind, err)
			}
		}
		page.Counts = append(page.Counts, count)
	}
	return page, nil
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
func (s *Store) counter(c store.CounterKey) models.RecordID {
	return models.NewRecordID(s.texts.countTable, []any{c.Kind, c.Index, c.Value})
}
