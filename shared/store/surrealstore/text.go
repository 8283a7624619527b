package surrealstore

import (
	"fmt"
	"strings"

	"github.com/provisioning-platform/platform/shared/store"
)

// text is a query text. Only this file makes one, from constants and the names of a checked schema
// (lower-case words); a test holds that. All else is bound.
type text string

// textPing is the cheapest sign of life.
const textPing = "RETURN 1"

// textClaim takes a call's record so that the call can never commit; textCall reads who has it.
const (
	textClaim text = "CREATE $call CONTENT { void: true } RETURN NONE"
	textCall  text = "RETURN $call.{ void }"
)

// These read records in order, and NONE for a missing one: documents, what a commit has to know of
// them, and, of one moment because it is one statement, the head and counters. (SELECT FROM an
// array of records is refused by the engine.)
const (
	textGet    text = "RETURN $ids.{ k, rev, ix, body }"
	textKnown  text = "RETURN $ids.{ rev, ix, d }"
	textMoment text = "RETURN { m: $ids.{ n, h } }"
)

// listing names one way to list a kind.
type listing struct {
	kind, index string // no index: by id
	reverse     bool
}

// queryTexts are the query texts of one schema and the names of its tables.
type queryTexts struct {
	define             []text
	head, commit, read text
	sweep              text
	untidy, trim       text
	lease, take        text
	list               map[listing]text
	table              map[string]string // kind → table
	headTable          string
	entryTable         string
	countTable         string
	callTable          string
}

// newTexts makes the texts of a schema, which it checks first.
func newTexts(schema store.Schema) (*queryTexts, error) {
	if err := schema.Check(); err != nil {
		return nil, err
	}
	service := schema.Service
	t := &queryTexts{
		list: map[listing]text{}, table: map[string]string{},
		headTable: service + "__head", entryTable: service + "__entry",
		countTable: service + "__count", callTable: service + "__call",
	}
	for _, name := range []string{t.headTable, t.entryTable, t.countTable, t.callTable} {
		t.define = append(t.define, text(fmt.Sprintf("DEFINE TABLE IF NOT EXISTS %s SCHEMALESS", name)))
	}
	for _, kind := range schema.Kinds {
		table := service + "_" + kind.Name
		t.table[kind.Name] = table
		t.define = append(t.define, text(fmt.Sprintf("DEFINE TABLE IF NOT EXISTS %s SCHEMALESS", table)))
		t.addList(table, listing{kind.Name, "", false}, "k")
		t.addList(table, listing{kind.Name, "", true}, "rk")
		for _, index := range kind.Indexes {
			t.addList(table, listing{kind.Name, index, false}, "ix."+index)
			t.addList(table, listing{kind.Name, index, true}, "rx."+index)
		}
	}
	t.head = text(fmt.Sprintf("LET $h = %s:main.*; RETURN { f: $h.f ?? '', h: $h.h ?? {}, n: $h.n ?? 0, s: $h.s ?? {}, l: $h.l ?? {}, "+
		"e: $h.e ?? 0 }", t.headTable))
	t.lease = text(fmt.Sprintf("LET $l = %s:lease.*; RETURN $l.text ?? ''", t.headTable))
	t.take = text(fmt.Sprintf(takeText, t.headTable, t.headTable))
	t.commit = text(fmt.Sprintf(commitText, t.headTable, t.entryTable, t.headTable))
	// What is kept has no gaps, so a bounded range is a page: LIMIT would read all that remains.
	t.read = text(fmt.Sprintf("LET $h = %s:main.*; LET $l = $h.l[$s] ?? 0; LET $f = IF $l > $a { $l } ELSE { $a }; "+
		"RETURN { l: $l, h: $h.s[$s] ?? 0 }; SELECT id, b FROM %s:[$s, $f + 1]..=[$s, $f + $limit]", t.headTable, t.entryTable))
	t.untidy = text(fmt.Sprintf("LET $h = %[1]s:main.*; LET $t = %[1]s:trimmed.*; RETURN { l: $h.l ?? {}, t: $t.s ?? {} }", t.headTable))
	t.trim = text(fmt.Sprintf("DELETE %s:[$s, $from]..=[$s, $to] RETURN NONE; UPSERT %s:trimmed MERGE { s: $done } RETURN NONE",
		t.entryTable, t.headTable))
	t.sweep = text(fmt.Sprintf("DELETE %s:[0]..[$before] RETURN NONE", t.callTable))
	return t, nil
}

// addList adds the index on a field and the query that lists by it. The engine scans an index only
// forwards (descending sorts all), so backwards is a list by the mirrored field, whose bounds are
// closed at the other end. The field is selected too: only then, in a plain top-level SELECT, is
// the limit inside the scan. It is a transaction, so that the head, read behind the page, is that
// of the page; that costs nothing measurable.
func (t *queryTexts) addList(table string, l listing, field string) {
	from, end := ">=", "<"
	if l.reverse {
		from, end = ">", "<="
	}
	t.define = append(t.define, text(fmt.Sprintf("DEFINE INDEX IF NOT EXISTS by_%s ON %s FIELDS %s", strings.ReplaceAll(field, ".", "_"),
		table, field)))
	t.list[l] = text(fmt.Sprintf("BEGIN; SELECT k, rev, ix, body, %s FROM %s WHERE %s %s $from AND %s %s $end ORDER BY %s LIMIT $limit "+
		"START $skip; %s; COMMIT;",
		field, table, field, from, field, end, field, textMoment))
}

// takeText changes the lease record if it still is as $was and $beat say, and brings its epoch into
// the head, where every commit compares it (names: head, head).
const takeText = `BEGIN;
LET $l = %s:lease.*;
LET $go = ($l.epoch ?? 0) = $was AND ($l.beat ?? '') = $beat;
IF $go {
  UPSERT $lease CONTENT { epoch: $epoch, beat: $next, text: $text } RETURN NONE;
  IF $epoch != $was { UPSERT %s:main SET e = $epoch RETURN NONE };
};
RETURN { ok: $go };
COMMIT;`

// commitText is the guarded query (names: head, entry, head). $n0 and $e0 are the commit number and
// the lease's epoch as this driver knows them, $ids the documents of the group and $want their
// revisions as it assumes them, $new and $old the rows to insert and to rewrite (telling them apart
// is cheaper than an upsert, which tries to create first), $gone the records to remove. Counters
// take "n += d": in an UPSERT "n = (n ?? 0) + d" sees no n.
const commitText = `BEGIN;
LET $h = %s:main.*;
LET $n = $h.n ?? 0;
LET $cur = $ids.rev;
LET $now = $cur.map(|$c| $c ?? 0);
LET $go = $n = $n0 AND ($h.e ?? 0) = $e0 AND $now = $want;
IF $go {
  INSERT $new RETURN NONE;
  FOR $r IN $old { UPDATE $r.id CONTENT $r RETURN NONE };
  FOR $r IN $gone { DELETE $r RETURN NONE };
  INSERT INTO %s $entries RETURN NONE;
  FOR $c IN $counts { UPSERT $c.id SET n += $c.d RETURN NONE };
  UPSERT %s:main CONTENT $head RETURN NONE;
  CREATE $call CONTENT { n: $n1 } RETURN NONE;
};
RETURN { ok: $go, head: IF $go { {} } ELSE { { f: $h.f ?? '', h: $h.h ?? {}, n: $n, s: $h.s ?? {}, l: $h.l ?? {}, e: $h.e ?? 0 } } };
COMMIT;`
