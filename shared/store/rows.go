package store

import (
	"strings"
	"unicode/utf8"
)

// Drivers keep lists in order by rows. The row of a document is its id in a list by id, and in an
// index the value, U+0000 and the id. No value and no id holds U+0000, so rows sort as pairs of
// value and id do, and a driver can split them.

// IndexRow returns the row of an index key of the document with that id.
func IndexRow(value, id string) string { return value + "\x00" + id }

// row returns the row of the query's list at which c stands.
func (q Query) row(c Cursor) string {
	if q.Index == "" {
		return c.ID
	}
	return IndexRow(c.Value, c.ID)
}

// Cursor returns the place of a row of the query's list.
func (q Query) Cursor(row string) Cursor {
	if q.Index == "" {
		return Cursor{ID: row}
	}
	value, id, _ := strings.Cut(row, "\x00")
	return Cursor{Value: value, ID: id}
}

// Bounds returns the half-open range of rows [from, to) that the query asks for, its cursor
// included; to is empty when there is no upper bound. Both are UTF-8. The range is empty when from
// is not below a non-empty to.
func (q Query) Bounds() (from, to string) {
	if q.Exact {
		from, to = q.Prefix+"\x00", q.Prefix+"\x01"
	} else {
		from, to = q.Prefix, successor(q.Prefix)
	}
	if q.After == (Cursor{}) {
		return from, to
	}
	row := q.row(q.After)
	if !q.Reverse {
		return max(from, row+"\x00"), to
	}
	if to == "" || row < to {
		to = row
	}
	return from, to
}

// successor returns the least text above all texts with that prefix; empty when there is none.
func successor(prefix string) string {
	for prefix != "" {
		r, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch r {
		case utf8.MaxRune:
			continue
		case 0xD7FF: // surrogates follow, which are no text
			r = 0xE000
		default:
			r++
		}
		return prefix + string(r)
	}
	return ""
}
