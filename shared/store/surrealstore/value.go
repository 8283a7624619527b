package surrealstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/store"
)

// native turns canonical JSON into the CBOR of the native value that the engine stores: integers
// stay integers, everything else is what it is in JSON.
func native(body []byte) (cbor.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return cbor.Marshal(convert(v, func(v any) any {
		number, ok := v.(json.Number)
		if !ok {
			return v
		}
		if n, err := number.Int64(); err == nil {
			return n
		}
		f, _ := number.Float64() // cannot fail: the number is canonical
		return f
	}))
}

// widen makes 64-bit floats of the 32-bit ones the engine sends when they are exact, because those
// print differently.
func widen(v any) any {
	if f, ok := v.(float32); ok {
		return float64(f)
	}
	return v
}

// convert replaces each value in v, at any depth, that is neither an array nor an object by what
// leaf makes of it.
func convert(v any, leaf func(any) any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = convert(v[i], leaf)
		}
	case map[string]any:
		for k := range v {
			v[k] = convert(v[k], leaf)
		}
	}
	return leaf(v)
}

// row is a document as it lies in its table.
type row struct {
	K    string            `json:"k"`
	Rev  uint64            `json:"rev"`
	Ix   map[string]string `json:"ix"`
	Body any               `json:"body"`
}

// fields are the indexed fields of a document: its id and index rows, and their mirrors.
func fields(key store.Key, index []store.IndexKey) map[string]any {
	ix := join(index, key.ID)
	return map[string]any{"k": key.ID, "rk": mirror(key.ID), "ix": ix, "rx": mirrored(ix)}
}

// doc turns a row into a document of the given kind.
func (r row) doc(kind store.Kind) (store.Doc, error) {
	body, err := canonical.Make(convert(r.Body, widen))
	if err != nil {
		return store.Doc{}, fmt.Errorf("a %s in the database is not what was stored: %w", kind.Name, err)
	}
	return store.Doc{Key: store.Key{Kind: kind.Name, ID: r.K}, Rev: r.Rev, Index: unjoin(kind, r.Ix), Body: body}, nil
}

// join makes the indexed field of each index key (store.IndexRow).
func join(index []store.IndexKey, id string) map[string]string {
	ix := make(map[string]string, len(index))
	for _, x := range index {
		ix[x.Name] = store.IndexRow(x.Value, id)
	}
	return ix
}

// mirrored returns what join made, with each text mirrored.
func mirrored(ix map[string]string) map[string]string {
	rx := make(map[string]string, len(ix))
	for name, row := range ix {
		rx[name] = mirror(row)
	}
	return rx
}

// mirror maps texts to texts of the opposite order, because the engine scans an index only
// forwards. Each ASCII character becomes its complement; others, which must come before those, an
// escape and the complement of the rune among all runes; the end, which was before everything,
// comes behind everything.
func mirror(s string) string {
	const (
		escape, end = '\x01', '\u0082'
		surrogates  = 0xE000 - 0xD800 // code points that are no runes
		last        = utf8.MaxRune - surrogates
	)
	out := make([]byte, 0, len(s)+2)
	for _, r := range s {
		if r < utf8.RuneSelf {
			out = utf8.AppendRune(out, 0x81-r)
			continue
		}
		if r >= 0xE000 {
			r -= surrogates
		}
		if r = last - r; r >= 0xD800 {
			r += surrogates
		}
		out = utf8.AppendRune(append(out, escape), r)
	}
	return string(utf8.AppendRune(out, end))
}

// unjoin is the way back from join, in the order in which the kind declares its indexes.
func unjoin(kind store.Kind, ix map[string]string) []store.IndexKey {
	var index []store.IndexKey
	for _, name := range kind.Indexes {
		if row, ok := ix[name]; ok {
			value, _, _ := strings.Cut(row, "\x00")
			index = append(index, store.IndexKey{Name: name, Value: value})
		}
	}
	return index
}
