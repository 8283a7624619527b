package canonical

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/shared/instant"
)

// maxLevels is the depth from which on a Writer does not vouch for what it writes.
const maxLevels = 8

// inArray stands for the name of the last member inside an array, whose values have no names. No
// name is above it.
const inArray = "\xff"

// Writer writes canonical JSON objects, one behind the other, for documents that are written too
// often for encoding/json. The caller writes the members in the order of the bytes of their names,
// and the names are plain text: ASCII without quotes, backslashes and control characters. A Writer
// knows that an object is canonical when its caller kept that order, so no commit checks it again.
// The zero value is empty; texts that a Writer returned are good until Reset.
type Writer struct {
	b     []byte
	start int  // where the object begins that is being written
	open  bool // the next member or value needs a comma in front
	wrong bool // the object that is being written may not be canonical
	level int
	names [maxLevels]string // the name of the last member of each level
}

// Reset empties the writer, which keeps its memory.
func (w *Writer) Reset() { *w = Writer{b: w.b[:0]} }

// Cap returns how many bytes of memory the writer holds.
func (w *Writer) Cap() int { return cap(w.b) }

// Len returns how many bytes of the object begun last are written.
func (w *Writer) Len() int { return len(w.b) - w.start }

// Body returns the object begun last. It vouches for its text when that object has ended and kept
// the rules.
func (w *Writer) Body() Body {
	return Body{w.b[w.start:len(w.b):len(w.b)], w.level == 0 && !w.wrong}
}

// Mark is a place in what a Writer has written.
type Mark struct {
	length int
	open   bool
}

// Mark returns the place where the writer stands.
func (w *Writer) Mark() Mark { return Mark{len(w.b), w.open} }

// Back takes back what was written since m on the same level.
func (w *Writer) Back(m Mark) { w.b, w.open = w.b[:m.length], m.open }

// Begin begins an object: a new one, or inside an array its next value.
func (w *Writer) Begin() {
	switch {
	case w.level == 0:
		w.start, w.wrong = len(w.b), false
	case w.names[w.level%maxLevels] != inArray:
		w.wrong = true
	case w.open:
		w.b = append(w.b, ',')
	}
	w.push('{', "")
}

// Object begins a member that is an object.
func (w *Writer) Object(name string) {
	w.b = w.member(name)
	w.push('{', "")
}

// Array begins a member that is an array of objects.
func (w *Writer) Array(name string) {
	w.b = w.member(name)
	w.push('[', inArray)
}

// End ends an object.
func (w *Writer) End() { w.pop('}') }

// EndArray ends an array.
func (w *Writer) EndArray() { w.pop(']') }

func (w *Writer) push(bracket byte, last string) {
	w.b, w.open = append(w.b, bracket), false
	w.level++
	w.wrong = w.wrong || w.level >= maxLevels
	w.names[w.level%maxLevels] = last
}

func (w *Writer) pop(bracket byte) {
	w.wrong = w.wrong || w.level == 0 || w.names[w.level%maxLevels] == inArray != (bracket == ']')
	w.b, w.open = append(w.b, bracket), true
	w.level = max(0, w.level-1)
}

// member returns what was written with the name of a member behind it.
func (w *Writer) member(name string) []byte {
	last := &w.names[w.level%maxLevels]
	if name <= *last {
		w.wrong = true
	}
	*last = name
	b := w.b
	if w.open {
		b = append(b, ',', '"')
	} else {
		b = append(b, '"')
		w.open = true
	}
	return append(append(b, name...), '"', ':')
}

// Text writes a member that is a text, and nothing when the text is empty.
func (w *Writer) Text(name, value string) {
	if value != "" {
		w.Always(name, value)
	}
}

// Always writes a member that is a text, also an empty one.
func (w *Writer) Always(name, value string) {
	w.b = appendString(w.member(name), value)
}

// Number writes a member that is a whole number.
func (w *Writer) Number(name string, value int64) {
	w.b = strconv.AppendInt(w.member(name), value, 10)
}

// Count writes a member that is a whole number, and nothing when it is 0.
func (w *Writer) Count(name string, value int64) {
	if value != 0 {
		w.Number(name, value)
	}
}

// Float writes a member that is a number with or without a fraction.
func (w *Writer) Float(name string, value float64) {
	if whole := int64(value); math.Abs(value) < 1<<53 && float64(whole) == value {
		w.Number(name, whole)
		return
	}
	w.b = w.member(name)
	start := len(w.b)
	w.b = appendFloat(w.b, value)
	w.wrong = w.wrong || checkNumber(w.b[start:]) != nil
}

// Flag writes a member that is true, and nothing when value is false.
func (w *Writer) Flag(name string, value bool) {
	if value {
		w.b = append(w.member(name), "true"...)
	}
}

// Bool writes a member that is true or false.
func (w *Writer) Bool(name string, value bool) {
	w.b = strconv.AppendBool(w.member(name), value)
}

// Instant writes a member that is a time as it goes over the wire (instant.Layout).
func (w *Writer) Instant(name string, t time.Time) {
	w.b = append(instant.Append(append(w.member(name), '"'), t), '"')
}

// Time writes a member that is a time, as encoding/json writes it.
func (w *Writer) Time(name string, t time.Time) {
	w.b = append(t.AppendFormat(append(w.member(name), '"'), time.RFC3339Nano), '"')
}

// Moment writes what Time writes, and nothing when t is nil.
func (w *Writer) Moment(name string, t *time.Time) {
	if t != nil {
		w.Time(name, *t)
	}
}

// List writes a member that is a list of texts.
func (w *Writer) List(name string, values []string) {
	b := append(w.member(name), '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, v)
	}
	w.b = append(b, ']')
}

// Some writes what List writes, and nothing when the list is empty.
func (w *Writer) Some(name string, values []string) {
	if len(values) > 0 {
		w.List(name, values)
	}
}

// Dict writes a member that is a map of texts, and nothing when it is empty.
func (w *Writer) Dict(name string, m map[string]string) {
	_ = appendMap(w, name, m, func(v string) error {
		w.b = appendString(w.b, v)
		return nil
	})
}

// Map writes a member that is a map, and nothing when it is empty. It writes texts and numbers of
// type int by itself and other values as Make returns them. After an error of Make, which it
// returns, the object is incomplete.
func (w *Writer) Map(name string, m map[string]any) error {
	return appendMap(w, name, m, func(v any) error {
		switch v := v.(type) {
		case string:
			w.b = appendString(w.b, v)
		case int:
			w.b = strconv.AppendInt(w.b, int64(v), 10)
		default:
			text, err := Make(v)
			w.json(text)
			return err
		}
		return nil
	})
}

func appendMap[V any](w *Writer, name string, m map[string]V, value func(V) error) error {
	if len(m) == 0 {
		return nil
	}
	w.Object(name)
	var room [8]string
	names := slices.AppendSeq(room[:0], maps.Keys(m))
	slices.Sort(names)
	for i, k := range names {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.wrong = w.wrong || plain(k, 0) < len(k) // names with escapes may have another order
		w.b = append(appendString(w.b, k), ':')
		if err := value(m[k]); err != nil {
			return err
		}
	}
	w.End()
	return nil
}

// JSON writes a member whose value is canonical JSON already, which it checks.
func (w *Writer) JSON(name string, value []byte) {
	w.b = w.member(name)
	w.json(value)
}

func (w *Writer) json(value []byte) {
	w.wrong = w.wrong || check(value, w.level) != nil
	w.b = append(w.b, value...)
}
