package store

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// maxLevels is how deep what an Encoder makes may nest to count as canonical.
const maxLevels = 8

// inArray stands for the last name where the values have none; no name is above it.
const inArray = "\xff"

// Encoder appends canonical JSON objects, one behind the other, for documents that are written too often for
// encoding/json. The caller gives the members in bytewise order of their names, which are plain text: ASCII without quotes,
// backslashes and control characters. What kept that order is known to be canonical, so Commit does not look at it again.
// The zero value is empty; what it gave out is good until Reset.
type Encoder struct {
	b     []byte
	start int  // of the object being made
	open  bool // a member or a value stands in front
	wrong bool // the object being made may not be canonical
	level int
	names [maxLevels]string // the last of each level
}

// Reset empties the encoder; it keeps the memory.
func (e *Encoder) Reset() { *e = Encoder{b: e.b[:0]} }

// Cap returns the bytes of memory that the encoder holds.
func (e *Encoder) Cap() int { return cap(e.b) }

// Len returns the bytes of the object begun last.
func (e *Encoder) Len() int { return len(e.b) - e.start }

// Bytes returns the object begun last.
func (e *Encoder) Bytes() []byte { return e.b[e.start:len(e.b):len(e.b)] }

// Write returns the write that puts the object begun last, which must have ended.
func (e *Encoder) Write(k Key, x Expect, index []IndexKey) Write {
	w := Write{Key: k, Expect: x, Index: index, Body: e.Bytes()}
	if e.level == 0 && !e.wrong {
		w.canonical = w.Body
	}
	return w
}

// Mark is a place in an object being made.
type Mark struct {
	length int
	open   bool
}

// Mark returns the place where the encoder stands.
func (e *Encoder) Mark() Mark { return Mark{len(e.b), e.open} }

// Back takes back what was appended since m, on the same level.
func (e *Encoder) Back(m Mark) { e.b, e.open = e.b[:m.length], m.open }

// Begin begins an object: a new one, or the next value of an array.
func (e *Encoder) Begin() {
	switch {
	case e.level == 0:
		e.start, e.wrong = len(e.b), false
	case e.names[e.level%maxLevels] != inArray:
		e.wrong = true
	case e.open:
		e.b = append(e.b, ',')
	}
	e.push('{', "")
}

// Object begins an object as a member.
func (e *Encoder) Object(name string) {
	e.b = e.member(name)
	e.push('{', "")
}

// Array begins an array of objects as a member.
func (e *Encoder) Array(name string) {
	e.b = e.member(name)
	e.push('[', inArray)
}

// End ends an object.
func (e *Encoder) End() { e.pop('}') }

// EndArray ends an array.
func (e *Encoder) EndArray() { e.pop(']') }

func (e *Encoder) push(bracket byte, last string) {
	e.b, e.open = append(e.b, bracket), false
	e.level++
	e.wrong = e.wrong || e.level >= maxLevels
	e.names[e.level%maxLevels] = last
}

func (e *Encoder) pop(bracket byte) {
	e.wrong = e.wrong || e.level == 0 || e.names[e.level%maxLevels] == inArray != (bracket == ']')
	e.b, e.open = append(e.b, bracket), true
	e.level = max(0, e.level-1)
}

// member returns what was appended, with the beginning of a member behind it.
func (e *Encoder) member(name string) []byte {
	last := &e.names[e.level%maxLevels]
	if name <= *last {
		e.wrong = true
	}
	*last = name
	b := e.b
	if e.open {
		b = append(b, ',', '"')
	} else {
		b = append(b, '"')
		e.open = true
	}
	return append(append(b, name...), '"', ':')
}

// Text appends a member, nothing when it is empty.
func (e *Encoder) Text(name, value string) {
	if value != "" {
		e.Always(name, value)
	}
}

// Always appends a member also when it is empty.
func (e *Encoder) Always(name, value string) {
	e.b = AppendString(e.member(name), value)
}

// Number appends a member.
func (e *Encoder) Number(name string, value int64) {
	e.b = strconv.AppendInt(e.member(name), value, 10)
}

// Count appends a number, nothing when it is 0.
func (e *Encoder) Count(name string, value int64) {
	if value != 0 {
		e.Number(name, value)
	}
}

// Float appends a number that may have a fraction.
func (e *Encoder) Float(name string, value float64) {
	if whole := int64(value); math.Abs(value) < 1<<53 && float64(whole) == value {
		e.Number(name, whole)
		return
	}
	e.b = e.member(name)
	start := len(e.b)
	e.b = appendFloat(e.b, value)
	e.wrong = e.wrong || checkNumber(e.b[start:]) != nil
}

// Flag appends a member that is true, nothing when it is false.
func (e *Encoder) Flag(name string, value bool) {
	if value {
		e.b = append(e.member(name), "true"...)
	}
}

// Time appends a time as encoding/json does.
func (e *Encoder) Time(name string, t time.Time) {
	e.b = append(t.AppendFormat(append(e.member(name), '"'), time.RFC3339Nano), '"')
}

// Moment appends a time, nothing when there is none.
func (e *Encoder) Moment(name string, t *time.Time) {
	if t != nil {
		e.Time(name, *t)
	}
}

// List appends a list of texts.
func (e *Encoder) List(name string, values []string) {
	b := append(e.member(name), '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendString(b, v)
	}
	e.b = append(b, ']')
}

// Some appends a list of texts, nothing when it is empty.
func (e *Encoder) Some(name string, values []string) {
	if len(values) > 0 {
		e.List(name, values)
	}
}

// Dict appends a map of texts, nothing when it is empty.
func (e *Encoder) Dict(name string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	e.Object(name)
	var room [8]string
	names := slices.AppendSeq(room[:0], maps.Keys(m))
	slices.Sort(names)
	for i, k := range names {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.wrong = e.wrong || plain(k, 0) < len(k) // as written it may stand elsewhere
		e.b = AppendString(append(AppendString(e.b, k), ':'), m[k])
	}
	e.End()
}

// JSON appends a member whose value is canonical JSON already; it is checked.
func (e *Encoder) JSON(name string, value []byte) {
	e.wrong = e.wrong || CheckCanonical(value) != nil
	e.b = append(e.member(name), value...)
}
