package store

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/fault"
)

// Every driver calls the functions of this file before any I/O, so that all drivers have the same
// limits. Ids, stream names and index values are UTF-8 without U+0000, because drivers join them
// with that character.

// Check says whether the schema can be served: names are short lower-case words, none twice,
// counted indexes are declared. Drivers call it when they open.
func (s Schema) Check() error {
	if !isWord(s.Service) {
		return schemaFault("service name %q is not a lower-case word", s.Service)
	}
	for i, k := range s.Kinds {
		if !isWord(k.Name) {
			return schemaFault("kind name %q is not a lower-case word", k.Name)
		}
		if slices.ContainsFunc(s.Kinds[:i], func(o Kind) bool { return o.Name == k.Name }) {
			return schemaFault("kind %s is declared twice", k.Name)
		}
		for j, name := range k.Indexes {
			if !isWord(name) || slices.Contains(k.Indexes[:j], name) {
				return schemaFault("kind %s: index name %q is not a lower-case word of its own", k.Name, name)
			}
		}
		for _, name := range k.Counted {
			if !slices.Contains(k.Indexes, name) {
				return schemaFault("kind %s counts %q, which is not an index of it", k.Name, name)
			}
		}
	}
	return nil
}

func schemaFault(format string, args ...any) error {
	return fault.New(fault.Internal, "store.schema", format, args...)
}

// isWord says whether s is a legal name in every engine: [a-z][a-z0-9_]*, at most 64 bytes.
func isWord(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// Validate says whether the batch keeps every limit and the schema.
func Validate(s Schema, b Batch) error {
	if len(b.Writes) == 0 && len(b.Appends) == 0 && len(b.Trims) == 0 {
		return fault.New(fault.Invalid, "store.empty", "a commit without a write, an entry and a trim")
	}
	if len(b.Writes) > MaxWrites || len(b.Appends) > MaxAppends || len(b.Trims) > MaxTrims {
		return tooLarge("a commit has at most %d writes, %d entries and %d trims", MaxWrites, MaxAppends, MaxTrims)
	}
	size := 0
	for i := range b.Writes {
		w := &b.Writes[i]
		if err := checkWrite(s, w); err != nil {
			return err
		}
		size += len(w.Key.Kind) + len(w.Key.ID) + len(w.Body)
		for _, x := range w.Index {
			size += len(x.Name) + len(x.Value)
		}
	}
	for _, a := range b.Appends {
		if err := checkName("stream name", a.Stream); err != nil {
			return err
		}
		if len(a.Body) > MaxEntry {
			return tooLarge("an entry of %d bytes, at most %d are stored", len(a.Body), MaxEntry)
		}
		if !utf8.Valid(a.Body) {
			return fault.New(fault.Invalid, "store.entry", "an entry that is not UTF-8 text")
		}
		size += len(a.Stream) + len(a.Body)
	}
	for i, t := range b.Trims {
		if err := checkName("stream name", t.Stream); err != nil {
			return err
		}
		if slices.ContainsFunc(b.Trims[:i], func(o Trim) bool { return o.Stream == t.Stream }) {
			return fault.New(fault.Invalid, "store.twice", "one commit trims a stream twice")
		}
	}
	if size > MaxCommit {
		return tooLarge("a commit of %d bytes, at most %d are stored", size, MaxCommit)
	}
	return checkDistinct(b.Writes)
}

func tooLarge(format string, args ...any) error {
	return fault.New(fault.Invalid, "store.too_large", format, args...)
}

func checkWrite(s Schema, w *Write) error {
	kind, ok := s.Kind(w.Key.Kind)
	if !ok {
		return fault.New(fault.Invalid, "store.kind", "kind %q is not declared", w.Key.Kind)
	}
	if err := checkName("id", w.Key.ID); err != nil {
		return err
	}
	if w.Action != Put {
		if w.Action > Check || len(w.Index) > 0 || len(w.Body) > 0 {
			return fault.New(fault.Invalid, "store.action", "%s: only a put has a body and index keys", kind.Name)
		}
		return nil
	}
	if len(w.Body) > MaxBody {
		return tooLarge("a %s of %d bytes, at most %d are stored", kind.Name, len(w.Body), MaxBody)
	}
	if err := checkIndex(kind, w.Index); err != nil {
		return err
	}
	if w.made.Vouches(w.Body) {
		return nil
	}
	if err := canonical.Check(w.Body); err != nil {
		return fault.New(fault.Invalid, "store.body", "the body of a %s is not canonical JSON", kind.Name).Because(err)
	}
	return nil
}

func checkIndex(kind Kind, index []IndexKey) error {
	if len(index) > maxIndexKeys {
		return tooLarge("a %s with %d index keys, at most %d are stored", kind.Name, len(index), maxIndexKeys)
	}
	for i, x := range index {
		if !slices.Contains(kind.Indexes, x.Name) {
			return fault.New(fault.Invalid, "store.index", "kind %s has no index %q", kind.Name, x.Name)
		}
		if len(x.Name)+len(x.Value) > MaxIndexKeySize {
			return tooLarge("a key of %d bytes in index %s, at most %d are stored", len(x.Name)+len(x.Value), x.Name, MaxIndexKeySize)
		}
		if !isText(x.Value) {
			return fault.New(fault.Invalid, "store.text", "a key in index %s is not UTF-8 text without U+0000", x.Name)
		}
		for _, o := range index[:i] {
			if o.Name == x.Name {
				return fault.New(fault.Invalid, "store.index", "a %s with two keys in index %s", kind.Name, x.Name)
			}
		}
	}
	return nil
}

func checkName(what, name string) error {
	switch {
	case name == "":
		return fault.New(fault.Invalid, "store.key", "an empty %s", what)
	case len(name) > MaxKey:
		return tooLarge("a %s of %d bytes, at most %d are stored", what, len(name), MaxKey)
	case !isText(name):
		return fault.New(fault.Invalid, "store.text", "a %s that is not UTF-8 text without U+0000", what)
	}
	return nil
}

func isText(s string) bool { return strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) }

// checkDistinct refuses a key that stands twice. Most batches are a handful of writes, where
// comparing all pairs is cheaper than a map.
func checkDistinct(writes []Write) error {
	twice := func(k Key) error {
		return fault.New(fault.Invalid, "store.twice", "one commit writes a %s twice", k.Kind)
	}
	if len(writes) <= 16 {
		for i := range writes {
			for j := range i {
				if writes[i].Key == writes[j].Key {
					return twice(writes[i].Key)
				}
			}
		}
		return nil
	}
	seen := make(map[Key]struct{}, len(writes))
	for i := range writes {
		if _, ok := seen[writes[i].Key]; ok {
			return twice(writes[i].Key)
		}
		seen[writes[i].Key] = struct{}{}
	}
	return nil
}

// ValidateKey says whether a document with that key could be there.
func ValidateKey(s Schema, k Key) error {
	if _, ok := s.Kind(k.Kind); !ok {
		return fault.New(fault.Invalid, "store.kind", "kind %q is not declared", k.Kind)
	}
	return checkName("id", k.ID)
}

// ValidateRead says whether a stream can be read like this.
func ValidateRead(stream string, limit int) error {
	if err := checkName("stream name", stream); err != nil {
		return err
	}
	return checkLimit(limit)
}

func checkLimit(limit int) error {
	if limit < 0 || limit > MaxPage {
		return fault.New(fault.Invalid, "store.limit", "a page of %d, want 0 to %d", limit, MaxPage)
	}
	return nil
}

// ValidateQuery says whether the query can be answered under the schema.
func ValidateQuery(s Schema, q Query) error {
	invalid := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "store.query", format, args...)
	}
	kind, ok := s.Kind(q.Kind)
	switch {
	case !ok:
		return fault.New(fault.Invalid, "store.kind", "kind %q is not declared", q.Kind)
	case q.Index != "" && !slices.Contains(kind.Indexes, q.Index):
		return fault.New(fault.Invalid, "store.index", "kind %s has no index %q", q.Kind, q.Index)
	case q.Index == "" && (q.Exact || q.After.Value != ""):
		return invalid("exact values and cursors with a value need an index")
	case len(q.Prefix) > MaxKey || len(q.After.ID) > MaxKey || len(q.After.Value) > MaxKey:
		return invalid("a prefix or cursor of more than %d bytes", MaxKey)
	case !isText(q.Prefix) || !isText(q.After.ID) || !isText(q.After.Value):
		return invalid("a prefix or cursor that is not UTF-8 text without U+0000")
	case q.Skip < 0:
		return invalid("a negative number of rows to skip")
	case q.Total && !(q.Index == "" && q.Prefix == "") && !(q.Exact && slices.Contains(kind.Counted, q.Index)):
		return invalid("only a whole kind and one value of a counted index have a total")
	case len(q.Counts) > MaxPage:
		return invalid("%d counters, at most %d are read at once", len(q.Counts), MaxPage)
	}
	for _, c := range q.Counts {
		kind, ok := s.Kind(c.Kind)
		switch {
		case !ok:
			return fault.New(fault.Invalid, "store.kind", "kind %q is not declared", c.Kind)
		case c.Index == "" && c.Value != "" || c.Index != "" && !slices.Contains(kind.Counted, c.Index):
			return invalid("only a whole kind and one value of a counted index have a counter")
		case len(c.Value) > MaxKey || !isText(c.Value):
			return invalid("the value of a counter that is too long or not UTF-8 text without U+0000")
		}
	}
	return checkLimit(q.Limit)
}
