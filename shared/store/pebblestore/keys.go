package pebblestore

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/provisioning-platform/platform/shared/store"
)

// First bytes of keys; see the layout in the package comment.
const (
	aboutKey   = 'm'
	docKey     = 'd'
	indexKey   = 'i'
	counterKey = 'c'
	entryKey   = 'e'
	lowKey     = 't'
	sumKey     = 's'
)

// Keys about the store itself.
var (
	numberKey  = []byte("mnumber")
	formatKey  = []byte("mformat")
	countedKey = []byte("mcounted")
)

// key joins a first byte and texts. A trailing empty text leaves a trailing separator: the common
// prefix of all keys that go on from there.
func key(first byte, texts ...string) []byte {
	size := 1 + len(texts)
	for _, t := range texts {
		size += len(t)
	}
	return appendKey(make([]byte, 0, size), first, texts...)
}

func appendKey(k []byte, first byte, texts ...string) []byte {
	k = append(k, first)
	for i, t := range texts {
		if i > 0 {
			k = append(k, 0)
		}
		k = append(k, t...)
	}
	return k
}

func keyOfDoc(k store.Key) []byte { return key(docKey, k.Kind, k.ID) }

func appendIndexKey(k []byte, kind string, x store.IndexKey, id string) []byte {
	return appendKey(k, indexKey, kind, x.Name, x.Value, id)
}

func keyOfCounter(c store.CounterKey) []byte { return key(counterKey, c.Kind, c.Index, c.Value) }

func keyOfSum(kind string) []byte { return key(sumKey, kind) }

func keyOfEntry(stream string, seq uint64) []byte { return appendEntryKey(nil, stream, seq) }

func appendEntryKey(k []byte, stream string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendKey(k, entryKey, stream, ""), seq)
}

// listPrefix is what the keys of a query's list have in front of their rows.
func listPrefix(q store.Query) []byte {
	if q.Index == "" {
		return key(docKey, q.Kind, "")
	}
	return key(indexKey, q.Kind, q.Index, "")
}

// after returns the least key above all keys with that prefix, which ends in a separator or is one
// of the first bytes.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1]++
	return end
}

// appendDoc appends the value of a document.
func appendDoc(out []byte, f *store.Final) []byte {
	out = binary.BigEndian.AppendUint64(out, f.Now.Rev)
	out = append(out, byte(len(f.Now.Index)))
	for _, x := range f.Now.Index {
		out = binary.AppendUvarint(out, uint64(len(x.Name)))
		out = append(out, x.Name...)
		out = binary.AppendUvarint(out, uint64(len(x.Value)))
		out = append(out, x.Value...)
	}
	return append(out, f.Body...)
}

var errValue = errors.New("a stored value has the wrong shape")

// splitDoc takes a value apart; the body is not copied.
func splitDoc(value []byte) (known store.Known, body []byte, err error) {
	if len(value) < 9 {
		return store.Known{}, nil, errValue
	}
	known.Rev = binary.BigEndian.Uint64(value)
	n, rest := int(value[8]), value[9:]
	if n > 0 {
		known.Index = make([]store.IndexKey, n)
	}
	for i := range n {
		if known.Index[i].Name, rest, err = splitText(rest); err != nil {
			return store.Known{}, nil, err
		}
		if known.Index[i].Value, rest, err = splitText(rest); err != nil {
			return store.Known{}, nil, err
		}
	}
	return known, rest, nil
}

func splitText(b []byte) (string, []byte, error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return "", nil, errValue
	}
	return string(b[n : n+int(size)]), b[n+int(size):], nil
}

// number reads a big-endian number that is a whole value; a missing value is 0.
func number(value []byte) uint64 {
	if len(value) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

// sumOf reads a sum that is a whole value; a missing value is 0.
func sumOf(value []byte) store.Sum {
	if len(value) != len(store.Sum{}) {
		return store.Sum{}
	}
	return store.Sum(value)
}

// counted describes which indexes the schema counts and which kinds it sums, to notice a change.
func counted(s store.Schema) string {
	var b strings.Builder
	for _, k := range s.Kinds {
		b.WriteString(k.Name + "(" + strings.Join(k.Counted, " ") + ")")
		if k.Summed {
			b.WriteString("+")
		}
	}
	return b.String()
}
